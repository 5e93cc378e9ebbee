#!/usr/bin/env python3
"""Derives every coefficient of lib/Target/CPU/Math and prints the header that holds them.

    tools/dev/math-coefficients.py > lib/Target/CPU/Math/Coefficients.h

Polynomials come from Remez's exchange algorithm on the weighted (mostly relative) error. The first coefficients are rounded to the target type one after the other and the rest is fitted again around them, so that rounding
costs nothing where it would hurt most (Muller, Elementary Functions, 3rd ed., chapters 3 and 4).
The achieved approximation error is printed beside each table, as a power of two.
"""
import struct, sys
import mpmath as mp

mp.mp.prec = 180
ONE = mp.mpf(1)


def to_type(value, kind):
    if kind == "f32":
        return mp.mpf(struct.unpack("f", struct.pack("f", float(value)))[0])
    return mp.mpf(float(value))


def exchange(columns, target, weight):
    """Minimax of sum(c_i*columns[i]) - target under `weight`, all sampled on one grid."""
    n, size = len(columns), len(target)
    picks = [int(round((1 - mp.cos(mp.pi * i / n)) / 2 * (size - 1))) for i in range(n + 1)]
    for _ in range(25):
        system = mp.matrix(n + 1, n + 1)
        right = mp.matrix(n + 1, 1)
        for row, p in enumerate(picks):
            for j in range(n):
                system[row, j] = columns[j][p] * weight[p]
            system[row, n] = (-1) ** row
            right[row] = target[p] * weight[p]
        solution = mp.lu_solve(system, right)
        coefficients = [solution[j] for j in range(n)]
        error = [(mp.fdot(coefficients, [c[p] for c in columns]) - target[p]) * weight[p] for p in range(size)]
        # One extremum per run of equal sign, then the n+1 neighbours with the largest errors.
        runs, start = [], 0
        for p in range(1, size + 1):
            if p == size or (error[p] > 0) != (error[start] > 0):
                runs.append(max(range(start, p), key=lambda q: abs(error[q])))
                start = p
        while len(runs) > n + 1:
            if len(runs) == n + 2:
                runs.pop(0 if abs(error[runs[0]]) < abs(error[runs[-1]]) else -1)
            else:
                k = min(range(len(runs) - 1), key=lambda i: max(abs(error[runs[i]]), abs(error[runs[i + 1]])))
                del runs[k:k + 2]
        if len(runs) < n + 1:
            break
        worst = max(abs(e) for e in error)
        picks = runs
        if worst <= abs(solution[n]) * mp.mpf("1.005"):
            break
    return coefficients, max(abs(e) for e in error)


def grid(lo, hi, size):
    mid, half = (mp.mpf(hi) + lo) / 2, (mp.mpf(hi) - lo) / 2
    return [mid - half * mp.cos(mp.pi * (i + mp.mpf(1) / 2) / size) for i in range(size)]


def polynomial(name, kind, f, lo, hi, degree, scale=None, variable=None, fixed=(), exact=3, note=""):
    """Coefficients of p with |scale(x)*(p(v(x)) - f(x))| least; `fixed` gives leading coefficients."""
    xs = grid(lo, hi, max(40 * (degree + 1), 240))
    v = variable or (lambda x: x)
    weight = [scale(x) if scale else ONE for x in xs]
    values = [f(x) for x in xs]
    powers = [[ONE] * len(xs)]
    vs = [v(x) for x in xs]
    for _ in range(degree):
        powers.append([a * b for a, b in zip(powers[-1], vs)])
    done = [to_type(c, kind) for c in fixed]
    while True:
        k = len(done)
        rest = [t - sum((c * powers[i][p] for i, c in enumerate(done)), mp.mpf(0)) for p, t in enumerate(values)]
        coefficients, error = exchange(powers[k:], rest, weight)
        if k >= len(fixed) + exact or k + 1 > degree:
            done += [to_type(c, kind) for c in coefficients]
            break
        done.append(to_type(coefficients[0], kind))
    emit(name, kind, done, error, note)
    return done


def emit(name, kind, coefficients, error, note):
    error_text = "2^%.1f" % float(mp.log(error, 2)) if error else "0"
    digits = 9 if kind == "f32" else 17
    print("/// %s%serror %s." % (note, ", " if note else "", error_text))
    body = ", ".join("%.*g" % (digits, float(c)) for c in coefficients)
    lines, line = [], "   "
    for word in body.split(" "):
        if len(line) + len(word) + 1 > 118:
            lines.append(line)
            line = "   "
        line += " " + word
    lines.append(line)
    suffix = "F32" if kind == "f32" else "F64"
    print("inline constexpr double k%s%s[] = {\n%s};" % (name, suffix, "\n".join(lines)))
    sys.stdout.flush()


def split_constant(name, kind, value, bits, note):
    """`value` as a sum; part i keeps bits[i] significant bits, the last is rounded to the type."""
    parts, rest = [], value
    for b in bits:
        unit = mp.ldexp(ONE, int(mp.floor(mp.log(abs(rest), 2))) + 1 - b)
        part = mp.nint(rest / unit) * unit
        parts.append(part)
        rest -= part
    parts.append(to_type(rest, kind))
    emit(name, kind, parts, 0 if not (value - sum(parts)) else abs(value - sum(parts)), note)


def words(name, value, count, note):
    """The bits of a number below 1, most significant first, 32 a word."""
    print("/// %s." % note)
    scaled = int(mp.floor(mp.ldexp(value, 32 * count)))
    out = [(scaled >> (32 * (count - 1 - i))) & 0xFFFFFFFF for i in range(count)]
    body = ["0x%08xu" % w for w in out]
    rows = ["    " + ", ".join(body[i:i + 8]) for i in range(0, count, 8)]
    print("inline constexpr uint32_t k%s[] = {\n%s};" % (name, ",\n".join(rows)))


def ratio(f, g, limit):
    """f(x)/g(x), with its limit where g vanishes."""
    return lambda x: f(x) / g(x) if abs(g(x)) > mp.mpf(10) ** -40 else mp.mpf(limit)


def main():
    print("""// Coefficients of the math functions of tenon. Generated by tools/dev/math-coefficients.py: change that, not this.
#ifndef TENON_LIB_TARGET_CPU_MATH_COEFFICIENTS_H
#define TENON_LIB_TARGET_CPU_MATH_COEFFICIENTS_H
#include <cstdint>

namespace tenon::cpu::coefficients {
""")
    ln2 = mp.log(2)
    split_constant("Ln2", "f32", ln2, [15], "ln 2 in two parts; the first times any exponent is exact")
    split_constant("Ln2", "f64", ln2, [41], "ln 2 in two parts; the first times any exponent is exact")
    split_constant("Log10Of2", "f32", mp.log10(2), [15], "log10 2 in two parts")
    split_constant("Log10Of2", "f64", mp.log10(2), [41], "log10 2 in two parts")
    split_constant("PiOver2", "f32", mp.pi / 2, [24, 24], "pi/2 in three full parts, for use with fma")
    split_constant("PiOver2", "f64", mp.pi / 2, [53, 53], "pi/2 in three full parts, for use with fma")
    split_constant("PiOver2Short", "f64", mp.pi / 2, [33, 33, 33], "pi/2 in parts whose product with 20 bits is exact")
    split_constant("Log2E", "f64", 1 / ln2, [53], "1/ln 2 in two parts")

    half_ln2 = mp.mpf("0.3470")
    for kind, degree in (("f32", 4), ("f64", 10)):
        polynomial("Exp", kind, lambda x: (mp.expm1(x) - x) / x ** 2, -half_ln2, half_ln2, degree,
                   lambda x: x * x / mp.exp(x), note="exp(r) = 1 + r + r*r*p(r), |r| <= ln(2)/2")
    for kind, degree in (("f32", 5), ("f64", 11)):
        polynomial("Expm1", kind, lambda x: (mp.expm1(x) - x) / x ** 2, -half_ln2, half_ln2, degree,
                   lambda x: abs(x * x / mp.expm1(x)), note="expm1(r) = r + r*r*p(r), |r| <= ln(2)/2")
    for kind, degree in (("f32", 5), ("f64", 11)):
        polynomial("Exp2", kind, lambda x: mp.expm1(x * ln2) / x, mp.mpf("-0.5"), mp.mpf("0.5"), degree,
                   lambda x: abs(x) / mp.power(2, x), note="exp2(r) = 1 + r*p(r), |r| <= 1/2")
    lo, hi = mp.sqrt(mp.mpf("0.5")) - 1, mp.sqrt(2) - 1
    polynomial("Log", "f32", lambda f: (mp.log1p(f) - f + f * f / 2) / f ** 3, lo, hi, 7,
               lambda f: abs(f ** 3 / mp.log1p(f)), note="log(1+f) = f - f*f/2 + f*f*f*p(f)")
    smax = hi / (2 + hi)
    polynomial("Log", "f64", lambda s: (2 * mp.atanh(s) / s - 2) / s ** 2, mp.mpf(0), smax, 6,
               lambda s: s ** 2, lambda s: s * s, note="log((1+s)/(1-s)) = 2*s + s*s*s*p(s*s)")
    polynomial("PowLog", "f64", lambda s: 2 * mp.atanh(s) / s / ln2, mp.mpf(0), smax, 5,
               None, lambda s: s * s, note="log2((1+s)/(1-s)) = s*p(s*s), for powf through f64")
    polynomial("PowExp", "f64", lambda x: mp.power(2, x), mp.mpf("-0.5"), mp.mpf("0.5"), 7,
               lambda x: mp.power(2, -x), note="exp2(r) = p(r), for powf through f64")
    quarter = mp.pi / 4 + mp.mpf("1e-3")
    for kind, s_degree, c_degree in (("f32", 2, 2), ("f64", 6, 6)):
        polynomial("Sin", kind, lambda x: (mp.sin(x) - x) / x ** 3, mp.mpf(0), quarter, s_degree,
                   lambda x: x ** 3 / mp.sin(x), lambda x: x * x, note="sin(r) = r + r*r*r*p(r*r), |r| <= pi/4")
        polynomial("Cos", kind, lambda x: (mp.cos(x) - 1 + x * x / 2) / x ** 4, mp.mpf(0), quarter, c_degree,
                   lambda x: x ** 4 / mp.cos(x), lambda x: x * x, note="cos(r) = 1 - r*r/2 + r*r*r*r*p(r*r)")
    tiny = mp.mpf("1e-6")
    middle = mp.mpf("2.425")
    polynomial("ErfTail", "f32", lambda x: mp.erfc(x) ** mp.mpf("0.25"), mp.mpf("0.92"), mp.mpf("3.93"), 8,
               lambda x: 4 * mp.erfc(x) ** mp.mpf("0.75"), lambda x: x - middle, exact=0,
               note="erfc(x) = p(x - 2.425)^4, 0.92 <= x <= 3.93, absolute")
    for kind, degree in (("f32", 5), ("f64", 11)):
        polynomial("Erf", kind, lambda x: mp.erf(x) / x - 1, tiny, mp.mpf("0.93" if kind == "f32" else "1.0"), degree,
                   lambda x: x / mp.erf(x), lambda x: x * x, exact=0, note="erf(x) = x + x*p(x*x)")
    for kind, degree, top in (("f32", 10, 11), ("f64", 23, 28)):
        polynomial("Erfc", kind, lambda x: (1 + 2 * x) * mp.exp(x * x) * mp.erfc(x), mp.mpf(0), mp.mpf(top), degree,
                   lambda x: 1 / ((1 + 2 * x) * mp.exp(x * x) * mp.erfc(x)), lambda x: (x - 4) / (x + 4), exact=0,
                   note="erfc(x) = exp(-x*x)/(1 + 2*x) * p((x-4)/(x+4)), x >= 0")
    for kind, degree in (("f32", 4), ("f64", 12)):
        polynomial("Asin", kind, lambda x: (mp.asin(x) - x) / x ** 3, mp.mpf(0), mp.mpf("0.5"), degree,
                   lambda x: x ** 3 / mp.asin(x), lambda x: x * x, exact=0, note="asin(x) = x + x*x*x*p(x*x), |x| <= 1/2")
    for kind, degree in (("f32", 8), ("f64", 19)):
        polynomial("Atan", kind, lambda x: (mp.atan(x) - x) / x ** 3, mp.mpf(0), mp.mpf(1), degree,
                   lambda x: x ** 3 / mp.atan(x), lambda x: x * x, exact=0, note="atan(x) = x + x*x*x*p(x*x), |x| <= 1")
    split_constant("TwoThirds", "f64", mp.mpf(2) / 3, [53], "2/3 in two parts")
    polynomial("PowTail", "f64", lambda s: (2 * mp.atanh(s) / s - 2 - 2 * s * s / 3) / s ** 4, mp.mpf(0), smax, 7,
               lambda s: s ** 4, lambda s: s * s, note="log((1+s)/(1-s)) = 2*s + 2/3*s^3 + s^5*p(s*s), for pow in f64")
    with mp.workprec(2000):
        words("TwoOverPi", 2 / mp.pi, 40, "2/pi, 32 bits a word, most significant first")
    print("\n} // namespace tenon::cpu::coefficients\n#endif // TENON_LIB_TARGET_CPU_MATH_COEFFICIENTS_H")


if __name__ == "__main__":
    main()
