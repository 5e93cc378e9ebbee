//===- ScalarArith.cpp - ops of the arith dialect on blocks of scalars ----===//
#include "Scalar.h"
#include <cmath>

using namespace mlir;

namespace tenon::interp {

/// Truncates toward zero; see Interpreter.h for what does not fit.
static int64_t toInteger(double value) {
  return std::fabs(value) < 0x1p63 ? static_cast<int64_t>(value) : std::numeric_limits<int64_t>::min();
}
static int64_t toUnsigned(double value) {
  return value >= 0x1p63 && value < 0x1p64 ? static_cast<int64_t>(static_cast<uint64_t>(value)) : toInteger(value);
}

static bool compareInts(arith::CmpIPredicate predicate, int64_t a, int64_t b, unsigned w) {
  int64_t s = asSigned(a, w), t = asSigned(b, w);
  uint64_t u = asUnsigned(a, w), v = asUnsigned(b, w);
  switch (predicate) {
  case arith::CmpIPredicate::eq:
    return a == b;
  case arith::CmpIPredicate::ne:
    return a != b;
  case arith::CmpIPredicate::slt:
    return s < t;
  case arith::CmpIPredicate::sle:
    return s <= t;
  case arith::CmpIPredicate::sgt:
    return s > t;
  case arith::CmpIPredicate::sge:
    return s >= t;
  case arith::CmpIPredicate::ult:
    return u < v;
  case arith::CmpIPredicate::ule:
    return u <= v;
  case arith::CmpIPredicate::ugt:
    return u > v;
  case arith::CmpIPredicate::uge:
    return u >= v;
  }
  return false;
}

static bool compareFloats(arith::CmpFPredicate predicate, double a, double b) {
  bool unordered = std::isnan(a) || std::isnan(b);
  switch (predicate) {
  case arith::CmpFPredicate::AlwaysFalse:
    return false;
  case arith::CmpFPredicate::AlwaysTrue:
    return true;
  case arith::CmpFPredicate::OEQ:
    return a == b;
  case arith::CmpFPredicate::OGT:
    return a > b;
  case arith::CmpFPredicate::OGE:
    return a >= b;
  case arith::CmpFPredicate::OLT:
    return a < b;
  case arith::CmpFPredicate::OLE:
    return a <= b;
  case arith::CmpFPredicate::ONE:
    return !unordered && a != b;
  case arith::CmpFPredicate::ORD:
    return !unordered;
  case arith::CmpFPredicate::UEQ:
    return unordered || a == b;
  case arith::CmpFPredicate::UGT:
    return unordered || a > b;
  case arith::CmpFPredicate::UGE:
    return unordered || a >= b;
  case arith::CmpFPredicate::ULT:
    return unordered || a < b;
  case arith::CmpFPredicate::ULE:
    return unordered || a <= b;
  case arith::CmpFPredicate::UNE:
    return unordered || a != b;
  case arith::CmpFPredicate::UNO:
    return unordered;
  }
  return false;
}

static Step makeConstantStep(arith::ConstantOp op, Registers &r) {
  Register *out = r[op].get();
  if (auto value = dyn_cast<FloatAttr>(op.getValue()); value && !out->f.empty()) {
    APFloat number = value.getValue();
    bool losesInfo;
    number.convert(APFloat::IEEEdouble(), APFloat::rmNearestTiesToEven, &losesInfo);
    llvm::fill(out->f, number.convertToDouble());
  } else if (auto value = dyn_cast<IntegerAttr>(op.getValue()); value && !out->i.empty()) {
    llvm::fill(out->i, wrapInt(value.getValue().getZExtValue(), intWidth(out->type)));
  } else {
    return {};
  }
  return [](int64_t) -> const char * { return nullptr; };
}

/// Divisions and remainders: zero below is an error, the one quotient that overflows wraps.
template <typename Fn> static Step makeDivision(Operation *op, Registers &r, bool isSigned, Fn fn) {
  Register *a = r[op->getOperand(0)].get(), *b = r[op->getOperand(1)].get(), *out = r[op->getResult(0)].get();
  if (a->i.empty())
    return {};
  unsigned width = intWidth(a->type);
  return [=](int64_t n) -> const char * {
    for (int64_t k = 0; k < n; ++k) {
      if (b->i[k] == 0)
        return "divides by zero";
      if (isSigned)
        out->i[k] = static_cast<int64_t>(fn(__int128(asSigned(a->i[k], width)), __int128(asSigned(b->i[k], width))));
      else
        out->i[k] =
            static_cast<int64_t>(fn(__int128(asUnsigned(a->i[k], width)), __int128(asUnsigned(b->i[k], width))));
    }
    out->round(n);
    return nullptr;
  };
}

/// Ops with a low and a high result.
static Step makeExtended(Operation *op, Registers &r) {
  Register *a = r[op->getOperand(0)].get(), *b = r[op->getOperand(1)].get();
  Register *low = r[op->getResult(0)].get(), *high = r[op->getResult(1)].get();
  if (a->i.empty())
    return {};
  unsigned width = intWidth(a->type);
  bool isSigned = isa<arith::MulSIExtendedOp>(op), isSum = isa<arith::AddUIExtendedOp>(op);
  return [=](int64_t n) -> const char * {
    for (int64_t k = 0; k < n; ++k) {
      unsigned __int128 wide;
      if (isSigned)
        wide = __int128(asSigned(a->i[k], width)) * asSigned(b->i[k], width);
      else if (isSum)
        wide = static_cast<unsigned __int128>(asUnsigned(a->i[k], width)) + asUnsigned(b->i[k], width);
      else
        wide = static_cast<unsigned __int128>(asUnsigned(a->i[k], width)) * asUnsigned(b->i[k], width);
      low->i[k] = static_cast<int64_t>(wide);
      high->i[k] = static_cast<int64_t>(wide >> width);
    }
    low->round(n);
    high->round(n);
    return nullptr;
  };
}

static Step makeSelect(arith::SelectOp op, Registers &r) {
  Register *c = r[op.getCondition()].get(), *a = r[op.getTrueValue()].get(), *b = r[op.getFalseValue()].get();
  Register *out = r[op].get();
  if (c->i.empty())
    return {};
  return [=](int64_t n) -> const char * {
    for (int64_t k = 0; k < n; ++k) {
      Register *from = c->i[k] ? a : b;
      if (!out->f.empty())
        out->f[k] = from->f[k];
      else if (!out->i.empty())
        out->i[k] = from->i[k];
      else
        out->c[k] = from->c[k];
    }
    return nullptr;
  };
}

/// Conversions between integers and floats; `fn` converts one value.
template <typename Fn> static Step makeToFloat(Operation *op, Registers &r, Fn fn) {
  Register *a = r[op->getOperand(0)].get(), *out = r[op->getResult(0)].get();
  if (a->i.empty() || out->f.empty())
    return {};
  unsigned width = intWidth(a->type);
  // Through f64 an i64 would be rounded twice on its way to a narrower type; long double holds it.
  auto type = cast<FloatType>(out->type);
  return [=](int64_t n) -> const char * {
    for (int64_t k = 0; k < n; ++k) {
      long double wide = fn(a->i[k], width);
      double value = static_cast<double>(wide);
      if (!type.isF64() && static_cast<long double>(value) != wide) {
        // Round to odd in f64, so that the second rounding is right.
        double down = value < wide ? value : std::nextafter(value, -INFINITY);
        double up = std::nextafter(down, INFINITY);
        value = std::bit_cast<uint64_t>(down) & 1 ? down : up;
      }
      out->f[k] = value;
    }
    out->round(n);
    return nullptr;
  };
}
template <typename Fn> static Step makeToInt(Operation *op, Registers &r, Fn fn) {
  Register *a = r[op->getOperand(0)].get(), *out = r[op->getResult(0)].get();
  if (a->f.empty() || out->i.empty())
    return {};
  return [=](int64_t n) -> const char * {
    for (int64_t k = 0; k < n; ++k)
      out->i[k] = fn(a->f[k]);
    out->round(n);
    return nullptr;
  };
}

static Step makeBitcast(arith::BitcastOp op, Registers &r) {
  Register *a = r[op.getIn()].get(), *out = r[op].get();
  if (!a->c.empty() || !out->c.empty())
    return {};
  return [=](int64_t n) -> const char * {
    for (int64_t k = 0; k < n; ++k) {
      uint64_t bits = a->f.empty() ? asUnsigned(a->i[k], intWidth(a->type))
                                   : floatToBits(a->f[k], cast<FloatType>(a->type));
      if (out->f.empty())
        out->i[k] = static_cast<int64_t>(bits);
      else
        out->f[k] = bitsToFloat(bits, cast<FloatType>(out->type));
    }
    out->round(n);
    return nullptr;
  };
}

/// Shifts by `fn`, which sees amounts below the width only; `over` is the result for the others.
template <typename Fn> static Step makeShift(Operation *op, Registers &r, Fn fn) {
  return binaryInt(op, r, [=](int64_t a, int64_t b, unsigned w) -> int64_t { return fn(a, asUnsigned(b, w), w); });
}

static Step makeIntegerStep(Operation *op, Registers &r) {
  using U = uint64_t;
  return TypeSwitch<Operation *, Step>(op)
      .Case([&](arith::AddIOp) { return binaryInt(op, r, [](int64_t a, int64_t b, unsigned) { return int64_t(U(a) + U(b)); }); })
      .Case([&](arith::SubIOp) { return binaryInt(op, r, [](int64_t a, int64_t b, unsigned) { return int64_t(U(a) - U(b)); }); })
      .Case([&](arith::MulIOp) { return binaryInt(op, r, [](int64_t a, int64_t b, unsigned) { return int64_t(U(a) * U(b)); }); })
      .Case([&](arith::AndIOp) { return binaryInt(op, r, [](int64_t a, int64_t b, unsigned) { return a & b; }); })
      .Case([&](arith::OrIOp) { return binaryInt(op, r, [](int64_t a, int64_t b, unsigned) { return a | b; }); })
      .Case([&](arith::XOrIOp) { return binaryInt(op, r, [](int64_t a, int64_t b, unsigned) { return a ^ b; }); })
      .Case([&](arith::ShLIOp) {
        return makeShift(op, r, [](int64_t a, U n, unsigned w) { return n < w ? int64_t(U(a) << n) : 0; });
      })
      .Case([&](arith::ShRUIOp) {
        return makeShift(op, r, [](int64_t a, U n, unsigned w) { return n < w ? int64_t(asUnsigned(a, w) >> n) : 0; });
      })
      .Case([&](arith::ShRSIOp) {
        return makeShift(op, r, [](int64_t a, U n, unsigned w) { return asSigned(a, w) >> std::min<U>(n, w - 1); });
      })
      .Case([&](arith::MaxSIOp) { return binarySigned(op, r, [](int64_t a, int64_t b) { return std::max(a, b); }); })
      .Case([&](arith::MinSIOp) { return binarySigned(op, r, [](int64_t a, int64_t b) { return std::min(a, b); }); })
      .Case([&](arith::MaxUIOp) { return binaryUnsigned(op, r, [](U a, U b) { return int64_t(std::max(a, b)); }); })
      .Case([&](arith::MinUIOp) { return binaryUnsigned(op, r, [](U a, U b) { return int64_t(std::min(a, b)); }); })
      .Case([&](arith::DivSIOp) { return makeDivision(op, r, true, [](__int128 a, __int128 b) { return a / b; }); })
      .Case([&](arith::DivUIOp) { return makeDivision(op, r, false, [](__int128 a, __int128 b) { return a / b; }); })
      .Case([&](arith::RemSIOp) { return makeDivision(op, r, true, [](__int128 a, __int128 b) { return a % b; }); })
      .Case([&](arith::RemUIOp) { return makeDivision(op, r, false, [](__int128 a, __int128 b) { return a % b; }); })
      .Case([&](arith::FloorDivSIOp) {
        return makeDivision(op, r, true, [](__int128 a, __int128 b) { return a / b - (a % b != 0 && (a < 0) != (b < 0)); });
      })
      .Case([&](arith::CeilDivSIOp) {
        return makeDivision(op, r, true, [](__int128 a, __int128 b) { return a / b + (a % b != 0 && (a < 0) == (b < 0)); });
      })
      .Case([&](arith::CeilDivUIOp) {
        return makeDivision(op, r, false, [](__int128 a, __int128 b) { return a / b + (a % b != 0); });
      })
      .Case([&](arith::CmpIOp cmp) {
        arith::CmpIPredicate p = cmp.getPredicate();
        return binaryInt(op, r, [=](int64_t a, int64_t b, unsigned w) { return int64_t(compareInts(p, a, b, w)); });
      })
      .Case<arith::AddUIExtendedOp, arith::MulSIExtendedOp, arith::MulUIExtendedOp>(
          [&](auto o) { return makeExtended(o, r); })
      .Case<arith::ExtSIOp, arith::IndexCastOp>(
          [&](auto o) { return unaryInt(o, r, [](int64_t a, unsigned w) { return asSigned(a, w); }); })
      .Case<arith::ExtUIOp, arith::IndexCastUIOp>(
          [&](auto o) { return unaryInt(o, r, [](int64_t a, unsigned w) { return int64_t(asUnsigned(a, w)); }); })
      .Case([&](arith::TruncIOp) { return unaryInt(op, r, [](int64_t a, unsigned) { return a; }); })
      .Default([](Operation *) { return Step(); });
}

/// Conversions that name a rounding other than to nearest even are not for an oracle to guess.
template <typename OpT> static bool roundsToNearest(OpT op) {
  return !op.getRoundingmode() || *op.getRoundingmode() == arith::RoundingMode::to_nearest_even;
}

Step makeArithStep(Operation *op, Registers &r) {
  return TypeSwitch<Operation *, Step>(op)
      .Case([&](arith::ConstantOp o) { return makeConstantStep(o, r); })
      .Case([&](arith::SelectOp o) { return makeSelect(o, r); })
      .Case([&](arith::AddFOp) { return binaryFloat(op, r, [](double a, double b) { return a + b; }); })
      .Case([&](arith::SubFOp) { return binaryFloat(op, r, [](double a, double b) { return a - b; }); })
      .Case([&](arith::MulFOp) { return binaryFloat(op, r, [](double a, double b) { return a * b; }); })
      .Case([&](arith::DivFOp) { return binaryFloat(op, r, [](double a, double b) { return a / b; }); })
      .Case([&](arith::RemFOp) { return binaryFloat(op, r, [](double a, double b) { return std::fmod(a, b); }); })
      .Case([&](arith::MaximumFOp) { return binaryFloat(op, r, maxOf); })
      .Case([&](arith::MinimumFOp) { return binaryFloat(op, r, minOf); })
      .Case([&](arith::MaxNumFOp) {
        return binaryFloat(op, r, [](double a, double b) { return std::isnan(a) ? b : std::isnan(b) ? a : maxOf(a, b); });
      })
      .Case([&](arith::MinNumFOp) {
        return binaryFloat(op, r, [](double a, double b) { return std::isnan(a) ? b : std::isnan(b) ? a : minOf(a, b); });
      })
      .Case([&](arith::NegFOp) { return unaryFloat(op, r, [](double a) { return -a; }); })
      .Case([&](arith::CmpFOp cmp) -> Step {
        Register *a = r[cmp.getLhs()].get(), *b = r[cmp.getRhs()].get(), *out = r[cmp].get();
        arith::CmpFPredicate p = cmp.getPredicate();
        if (a->f.empty() || out->i.empty())
          return {};
        return [=](int64_t n) -> const char * {
          for (int64_t k = 0; k < n; ++k)
            out->i[k] = compareFloats(p, a->f[k], b->f[k]);
          return nullptr;
        };
      })
      .Case([&](arith::ExtFOp) { return unaryFloat(op, r, [](double a) { return a; }); })
      .Case([&](arith::TruncFOp o) {
        return roundsToNearest(o) ? unaryFloat(op, r, [](double a) { return a; }) : Step();
      })
      .Case([&](arith::SIToFPOp) {
        return makeToFloat(op, r, [](int64_t a, unsigned w) { return static_cast<long double>(asSigned(a, w)); });
      })
      .Case([&](arith::UIToFPOp) {
        return makeToFloat(op, r, [](int64_t a, unsigned w) { return static_cast<long double>(asUnsigned(a, w)); });
      })
      .Case([&](arith::FPToSIOp) { return makeToInt(op, r, toInteger); })
      .Case([&](arith::FPToUIOp) { return makeToInt(op, r, toUnsigned); })
      .Case([&](arith::BitcastOp o) { return makeBitcast(o, r); })
      .Default([&](Operation *o) { return makeIntegerStep(o, r); });
}

} // namespace tenon::interp
