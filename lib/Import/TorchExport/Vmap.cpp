// vmap inside an exported program: attention masks of transformers are written with it, and so are associative scans. A
// value inside N nested vmaps has N dimensions, one per level, of size 1 where it does not depend on that level, before
// its own. Elementwise operators then need nothing special, once operands have equally many own dimensions, and neither
// does indexing with values that are numbers to the program. Own dimensions inside more than one level, and other
// operators on them, are unsupported.
#include "GraphImporter.h"

using namespace mlir;
using tenon::graph::Dims;

namespace tenon::torch_export {

static constexpr StringLiteral kPrefix = "torch._functorch.predispatch.";

/// The deepest level of the nest that `node` is part of.
static int64_t depthOfNest(const Graph &graph, const Node &node) {
  int64_t depth = 0, deepest = 0;
  bool isInside = false;
  for (const Node &other : graph.nodes) {
    StringRef op = other.op();
    if (!op.consume_front(kPrefix)) {
      continue;
    } else if (op.starts_with("_vmap_increment_nesting")) {
      deepest = std::max(deepest, ++depth);
    } else if (op.starts_with("_vmap_decrement_nesting") && --depth == 0) {
      if (isInside)
        return deepest;
      deepest = 0;
    }
    isInside |= &other == &node;
  }
  return deepest;
}

bool isInNestOfDifferentNumbers(const Graph &graph, const Node &node) {
  SmallVector<bool> nest;
  for (const Node &other : graph.nodes) {
    if (&other == &node)
      return llvm::is_contained(nest, true);
    StringRef op = other.op();
    if (!op.consume_front(kPrefix))
      continue;
    if (op.starts_with("_vmap_increment_nesting"))
      nest.push_back(other.arg(size_t(1)).as<StringRef>() != StringRef("same"));
    else if (op.starts_with("_vmap_decrement_nesting") && !nest.empty())
      nest.pop_back();
  }
  return false;
}

static Tensor readBatched(Op &op, int64_t depth) {
  auto name = op.node.arg(size_t(0)).as<TensorArg>();
  Tensor x = name ? op.readValue(name->name) : Tensor();
  if (x && x.rank() == 0)
    x = op.reshape(x, Dims(depth, op.constant(1)));
  return x;
}

static std::optional<int64_t> readLevel(Op &op, size_t argument, int64_t depth) {
  std::optional<int64_t> level = op.node.arg(argument).as<int64_t>();
  if (level && *level >= 1 && *level <= depth)
    return level;
  (void)op.unsupported("at a level that is not nested");
  return std::nullopt;
}

static LogicalResult addBatchDim(Op &op) {
  int64_t depth = depthOfNest(op.importer.graph, op.node);
  auto name = op.node.arg(size_t(0)).as<TensorArg>();
  Tensor x = name ? op.readValue(name->name) : Tensor();
  std::optional<int64_t> level = readLevel(op, 2, depth);
  if (!level)
    return failure();
  std::optional<int64_t> dim = op.node.arg(1).as<int64_t>();
  if (!x || op.isBatched || x.rank() < 1 || (x.rank() > 1 && depth > 1) || !dim)
    return op.unsupported("of tensors of more than one dimension inside nested vmaps");
  SmallVector<int64_t> order = upTo(x.rank());
  int64_t from = op.wrapDim(*dim, x.rank());
  if (op.isBad())
    return failure();
  order.erase(order.begin() + from);
  order.insert(order.begin(), from);
  x = op.permute(x, order);
  Dims dims(depth, op.constant(1));
  dims[*level - 1] = x.dim(0);
  llvm::append_range(dims, llvm::drop_begin(x.dims()));
  StringRef result = op.node.resultNames()[0];
  op.importer.values.bind(result, op.reshape(x, dims));
  op.importer.values.markBatched(result, x.rank() - 1);
  return success();
}

static LogicalResult removeBatchDim(Op &op) {
  int64_t depth = depthOfNest(op.importer.graph, op.node);
  Tensor x = readBatched(op, depth);
  std::optional<int64_t> level = readLevel(op, 1, depth);
  std::optional<SymIntArg> size = op.node.arg(2).as<SymIntArg>();
  if (!level || !x || (x.rank() != depth && depth != 1) || op.node.arg(3).as<int64_t>() != 0 || !size)
    return op.isBad() ? failure()
                      : op.unsupported("of tensors with dimensions of their own from nested vmaps, or not to the front");
  Dims dims = x.dims();
  if (size->isStatic())
    dims[*level - 1] = op.constant(size->value);
  else if (const Number *number = op.importer.values.number(size->name); number && number->expr)
    dims[*level - 1] = number->expr;
  else
    return op.unsupported("with a size that is known only when the model runs");
  x = op.broadcast(x, dims);
  if (!x)
    return failure();
  StringRef result = op.node.resultNames()[0];
  if (*level == 1) {
    op.isBatched = false;
    return op.finish(x);
  }
  op.importer.values.bind(result, x);
  op.importer.values.markBatched(result);
  return success();
}

void populateVmap(ConverterTable &t) {
  t[(kPrefix + "_add_batch_dim").str()] = addBatchDim;
  t[(kPrefix + "_remove_batch_dim").str()] = removeBatchDim;
}

} // namespace tenon::torch_export
