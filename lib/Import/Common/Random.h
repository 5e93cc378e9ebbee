// Random numbers: Philox4x32-10 of the element's position, the operator's number in the program, the call's number and the
// seed. Nothing is carried from element to element, so results depend on neither threads nor order; docs/random.md.
#ifndef TENON_IMPORT_COMMON_RANDOM_H
#define TENON_IMPORT_COMMON_RANDOM_H

#include "Function.h"
#include "GraphBuilder.h"

namespace tenon::frontend {

/// What the numbers of one operator are made from: seed and call number (i64 of rank 0), and its number in the program.
/// Tensors are null when an error was reported.
struct RandomSource {
  Tensor seed, call;
  int64_t stream = 0;

  /// A seed that the model fixes: the same numbers in every call, whatever else the program draws.
  static RandomSource fixed(GraphBuilder &op, uint32_t seed);
};

/// The variable `random_state` of the function in the making: seed and call number. It exists once somebody draws.
class RandomState {
public:
  /// The parts must outlive this.
  void attach(mlir::func::FuncOp function, FunctionParts &parts, SymbolNames &names);
  /// For the next random operator.
  RandomSource next(GraphBuilder &op);
  /// Seed and call number where the builder stands. Null, and reported, inside a branch or a loop that did not take them in.
  std::pair<Tensor, Tensor> here(GraphBuilder &op);
  /// What a branch or a loop took in; nothing at the top.
  using Place = std::optional<std::pair<Tensor, Tensor>>;
  /// From now on operators draw from `place`; gives what they drew from until now.
  Place enter(Place place) { return std::exchange(region, place); }
  /// At the end of the function: the next call has the next number.
  void finish(GraphBuilder &op);

private:
  mlir::func::FuncOp function;
  FunctionParts *parts = nullptr;
  SymbolNames *names = nullptr;
  mlir::FlatSymbolRefAttr variable;
  Tensor value;
  Place region;
  int64_t streams = 0;
};

/// Another seed for each turn of a loop. Mixed, not added, so that loops inside loops do not meet the same seeds.
Tensor seedOfTurn(GraphBuilder &op, Tensor seed, Tensor turn);

/// The random bits of one element of `dims`, and numbers made of them in the type of `s`.
class Draws {
public:
  /// `state` holds seed and call number. `bits` is how many a number in [0, 1) has, so that rounding never gives 1.
  Draws(GraphBuilder &op, Scalars &s, mlir::ValueRange state, int64_t stream, const graph::Dims &dims, unsigned bits);

  Scalars &s;
  Scalars ints; ///< of i64

  /// 32 random bits in an i64, of four.
  mlir::Value word(unsigned i) { return words[i]; }
  mlir::Value wide() { return ints.make<mlir::arith::OrIOp>(shl(words[0], 31), shr(words[1], 1)); } ///< 63 bits
  /// [0, 1)
  mlir::Value uniform();
  /// (0, 1], fine near 0
  mlir::Value positive();
  mlir::Value normal();

private:
  mlir::Value shl(mlir::Value x, int64_t n) { return ints.make<mlir::arith::ShLIOp>(x, ints.integer(n)); }
  mlir::Value shr(mlir::Value x, int64_t n) { return ints.make<mlir::arith::ShRUIOp>(x, ints.integer(n)); }
  mlir::Value low(mlir::Value x) { return ints.make<mlir::arith::AndIOp>(x, ints.integer(0xFFFFFFFF)); }
  mlir::Value mix(mlir::Value x, mlir::Value y, mlir::Value z) {
    return ints.make<mlir::arith::XOrIOp>(ints.make<mlir::arith::XOrIOp>(x, y), z);
  }
  /// `count` bits as that number of halves: x * 2^-count.
  mlir::Value fraction(mlir::Value x, unsigned count);
  mlir::Value words[4];
  unsigned bits;
};

/// How many bits a number in [0, 1) of that type has.
unsigned fractionBits(ScalarType type);

using DrawBody = llvm::function_ref<mlir::Value(Draws &, mlir::ValueRange)>;

/// A tensor of `dims` whose elements `body` makes of random bits and of `operands`. `gives` as in GraphBuilder::map.
Tensor draw(GraphBuilder &op, const RandomSource &source, ScalarType type, const graph::Dims &dims,
            llvm::ArrayRef<Operand> operands, DrawBody body, ScalarType gives = ScalarType::Unknown);
/// True with probability 1 - p at each element: what a dropout keeps.
Tensor drawKept(GraphBuilder &op, const RandomSource &source, const graph::Dims &dims, Operand p);
/// `count` positions along the last dimension of `weights` (not negative, of a type that is computed in), each drawn with
/// its weight, and put back.
Tensor drawPositions(GraphBuilder &op, const RandomSource &source, Tensor weights, mlir::AffineExpr count);

} // namespace tenon::frontend
#endif
