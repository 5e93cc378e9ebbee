//===- Scalar.h - scalar ops over a block of points -----------------------===//
// A region of `graph.map` becomes a list of steps; each works on `kBlock` points at once. Not for use outside lib/Interp.
#ifndef TENON_LIB_INTERP_SCALAR_H
#define TENON_LIB_INTERP_SCALAR_H

#include "Evaluate.h"

namespace tenon::interp {

constexpr int64_t kBlock = 256;

/// One scalar value of the region, at each of the block's points. Only the form of its type is used.
struct Register {
  mlir::Type type;
  Floats f;
  Ints i;
  Complexes c;

  explicit Register(mlir::Type type = {});
  /// Rounds the first `n` values to `type`.
  void round(int64_t n);
};

/// The registers of a region, by value.
using Registers = llvm::DenseMap<mlir::Value, std::unique_ptr<Register>>;

/// Works on the first `n` points; on failure gives a reason.
using Step = std::function<const char *(int64_t n)>;

/// A step for an op of arith, math or complex, whose operands and results have registers; an empty one when the op is not
/// known there.
Step makeArithStep(mlir::Operation *op, Registers &registers);
Step makeMathStep(mlir::Operation *op, Registers &registers);
Step makeComplexStep(mlir::Operation *op, Registers &registers);

/// Steps that apply `fn` at each point and round the result to its type. Null where a register has another form.
template <typename Fn> Step unaryFloat(mlir::Operation *op, Registers &r, Fn fn) {
  Register *a = r[op->getOperand(0)].get(), *out = r[op->getResult(0)].get();
  if (a->f.empty() || out->f.empty())
    return {};
  return [=](int64_t n) -> const char * {
    for (int64_t k = 0; k < n; ++k)
      out->f[k] = fn(a->f[k]);
    out->round(n);
    return nullptr;
  };
}
template <typename Fn> Step binaryFloat(mlir::Operation *op, Registers &r, Fn fn) {
  Register *a = r[op->getOperand(0)].get(), *b = r[op->getOperand(1)].get(), *out = r[op->getResult(0)].get();
  if (a->f.empty() || b->f.empty() || out->f.empty())
    return {};
  return [=](int64_t n) -> const char * {
    for (int64_t k = 0; k < n; ++k)
      out->f[k] = fn(a->f[k], b->f[k]);
    out->round(n);
    return nullptr;
  };
}
/// Integers come to `fn` as held, with their width; the result is wrapped.
template <typename Fn> Step unaryInt(mlir::Operation *op, Registers &r, Fn fn) {
  Register *a = r[op->getOperand(0)].get(), *out = r[op->getResult(0)].get();
  if (a->i.empty() || out->i.empty())
    return {};
  unsigned width = intWidth(a->type);
  return [=](int64_t n) -> const char * {
    for (int64_t k = 0; k < n; ++k)
      out->i[k] = fn(a->i[k], width);
    out->round(n);
    return nullptr;
  };
}
template <typename Fn> Step binaryInt(mlir::Operation *op, Registers &r, Fn fn) {
  Register *a = r[op->getOperand(0)].get(), *b = r[op->getOperand(1)].get(), *out = r[op->getResult(0)].get();
  if (a->i.empty() || b->i.empty() || out->i.empty())
    return {};
  unsigned width = intWidth(a->type);
  return [=](int64_t n) -> const char * {
    for (int64_t k = 0; k < n; ++k)
      out->i[k] = fn(a->i[k], b->i[k], width);
    out->round(n);
    return nullptr;
  };
}
/// As `binaryInt`, operands read as signed or as unsigned.
template <typename Fn> Step binarySigned(mlir::Operation *op, Registers &r, Fn fn) {
  return binaryInt(op, r, [=](int64_t a, int64_t b, unsigned w) -> int64_t { return fn(asSigned(a, w), asSigned(b, w)); });
}
template <typename Fn> Step binaryUnsigned(mlir::Operation *op, Registers &r, Fn fn) {
  return binaryInt(op, r,
                   [=](int64_t a, int64_t b, unsigned w) -> int64_t { return fn(asUnsigned(a, w), asUnsigned(b, w)); });
}
template <typename Fn> Step unaryComplex(mlir::Operation *op, Registers &r, Fn fn) {
  Register *a = r[op->getOperand(0)].get(), *out = r[op->getResult(0)].get();
  if (a->c.empty() || out->c.empty())
    return {};
  return [=](int64_t n) -> const char * {
    for (int64_t k = 0; k < n; ++k)
      out->c[k] = fn(a->c[k]);
    out->round(n);
    return nullptr;
  };
}
template <typename Fn> Step binaryComplex(mlir::Operation *op, Registers &r, Fn fn) {
  Register *a = r[op->getOperand(0)].get(), *b = r[op->getOperand(1)].get(), *out = r[op->getResult(0)].get();
  if (a->c.empty() || b->c.empty() || out->c.empty())
    return {};
  return [=](int64_t n) -> const char * {
    for (int64_t k = 0; k < n; ++k)
      out->c[k] = fn(a->c[k], b->c[k]);
    out->round(n);
    return nullptr;
  };
}

} // namespace tenon::interp
#endif
