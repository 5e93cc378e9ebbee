// The error function and its complement.
#include "Coefficients.h"
#include "MathEmitter.h"

using namespace mlir;

namespace tenon::cpu {
using namespace coefficients;

namespace fn {

Float erf(Float x) {
  // One rational function: 11 multiply-adds and a division. Comparisons that are false for NaN keep it.
  Float clamped = select(x < -3.93, -3.93, x);
  clamped = select(clamped > 3.93, 3.93, clamped);
  Float square = clamped * clamped;
  Float y = (clamped * polynomial(kErfTopF32, square)) / polynomial(kErfBottomF32, square);
  y = select(y < -1.0, -1.0, y);
  return select(y > 1.0, 1.0, y);
}

} // namespace fn
} // namespace tenon::cpu
