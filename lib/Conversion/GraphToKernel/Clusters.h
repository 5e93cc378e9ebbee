//===- Clusters.h - which ops run together --------------------------------===//
#ifndef TENON_LIB_CONVERSION_GRAPHTOKERNEL_CLUSTERS_H
#define TENON_LIB_CONVERSION_GRAPHTOKERNEL_CLUSTERS_H

#include "dialects/Graph/Analysis/Access.h"

namespace tenon {

/// How a cluster of ops will be computed.
enum class ClusterKind {
  Pointwise, ///< only maps and movement
  Rows,      ///< reductions over the same dimensions
  Root,      ///< one op with a generator of its own, and its epilogue
  Entry,     ///< stays at entry level: scan, size checks
};

struct Cluster {
  ClusterKind kind;
  llvm::SmallVector<mlir::Operation *> ops; ///< in program order
  mlir::Operation *root = nullptr;          ///< of a Root cluster; the first reduction of a Rows cluster
};

/// Whether an op only moves or makes elements so cheaply that every user computes it anew instead of reading a buffer.
bool isInlined(mlir::Operation *op);

/// Which ops of a block give the data-dependent sizes that an op of it needs: those come first, though no value says so.
class SizeDefinitions {
public:
  explicit SizeDefinitions(mlir::Block &block);
  llvm::ArrayRef<mlir::Operation *> of(mlir::Operation *op) const {
    auto it = needed.find(op);
    return it == needed.end() ? llvm::ArrayRef<mlir::Operation *>() : llvm::ArrayRef(it->second);
  }

private:
  llvm::DenseMap<mlir::Operation *, llvm::SmallVector<mlir::Operation *, 1>> needed;
};

/// The partition of one block's ops into kernels. Inlined ops belong to no cluster.
class Clustering {
public:
  explicit Clustering(mlir::Block &block) : block(block), sizes(block) {}
  void run();

  /// Clusters in an order in which each comes after those it reads.
  llvm::SmallVector<Cluster *> inOrder();

private:
  Cluster *clusterOf(mlir::Operation *op) { return owner.lookup(op); }
  Cluster *create(ClusterKind kind, mlir::Operation *op);
  /// Clusters that compute what `op` reads, through inlined ops.
  void producers(mlir::Operation *op, llvm::SmallPtrSetImpl<Cluster *> &result);
  /// Ops of clusters (or null for the block's terminator) that read `value`, through inlined ops.
  void consumers(mlir::Value value, llvm::SmallVectorImpl<mlir::Operation *> &result);
  bool reaches(Cluster *from, Cluster *to, Cluster *exceptDirect);
  /// Merges `b` into `a` when no path leaves one and comes back into the other.
  bool canMerge(Cluster *a, Cluster *b);
  void merge(Cluster *a, Cluster *b);

  void growEpilogues();
  void growRows();
  void fusePointwise();
  int64_t evaluationsOf(mlir::Operation *op);
  void fusePrologues();
  bool isPrologue(Cluster *cluster);
  bool fitsRows(Cluster *rows, mlir::Operation *op);

  mlir::Block &block;
  SizeDefinitions sizes;
  llvm::SmallVector<std::unique_ptr<Cluster>> clusters;
  llvm::DenseMap<mlir::Operation *, Cluster *> owner;
  llvm::DenseMap<mlir::Operation *, unsigned> order;
  /// Of ops in pointwise clusters: at how many places an op is computed for one element of the kernel's result.
  llvm::DenseMap<mlir::Operation *, int64_t> evaluations;
};

} // namespace tenon
#endif
