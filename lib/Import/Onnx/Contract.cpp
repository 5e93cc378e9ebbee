// Matrix products and sums of products.
#include "Op.h"
#include <set>

using namespace mlir;
using tenon::graph::Dims;
using tenon::graph::ReduceKind;

namespace tenon::onnx_import {

static LogicalResult convertMatMul(Op &op) { return op.finish(op.matmul(op.tensor(0), op.tensor(1))); }

static LogicalResult convertGemm(Op &op) {
  Tensor a = op.tensor(0), b = op.tensor(1), c = op.optionalTensor(2);
  if (op.isBad())
    return failure();
  if (a.rank() != 2 || b.rank() != 2)
    return op.error("has operands of ranks " + Twine(a.rank()) + " and " + Twine(b.rank()) + " but needs matrices");
  bool transA = op.integer("transA", 0) != 0, transB = op.integer("transB", 0) != 0;
  double alpha = op.real("alpha", 1.0), beta = op.real("beta", 1.0);
  Tensor y = op.contract(a, transA ? "km" : "mk", b, transB ? "nk" : "kn", "mn");
  bool isInteger = !isFloating(a.dtype);
  auto scaled = [&](Scalars &s, Value v, double factor) {
    if (factor == 1)
      return v;
    return s.mul(v, s.number(factor));
  };
  ScalarType type = a.dtype;
  if (isInteger && (alpha != std::floor(alpha) || beta != std::floor(beta)))
    return op.unsupported("of integers with factors that are none");
  if (!c)
    return op.finish(op.unary(y, [&](Scalars &s, Value v) { return scaled(s, v, alpha); }));
  return op.finish(op.map(type, type, {y, c}, [&](Scalars &s, ValueRange v) {
    return s.add(scaled(s, v[0], alpha), scaled(s, v[1], beta));
  }));
}

//===----------------------------------------------------------------------===//
// Einsum
//===----------------------------------------------------------------------===//

/// One operand with a letter for each dimension.
namespace {
struct Term {
  Tensor tensor;
  std::string letters;
};
} // namespace

/// Takes the diagonal where a letter stands twice.
static void takeDiagonals(Op &op, Term &term) {
  for (size_t i = 0; i < term.letters.size(); ++i)
    for (size_t j = i + 1; j < term.letters.size() && term.tensor; ++j) {
      if (term.letters[i] != term.letters[j])
        continue;
      // Position p of the kept dimension reads (p, p).
      AffineExpr size = term.tensor.dim(i);
      Tensor at = op.generate(ScalarType::Long, ScalarType::Long, {size},
                              [&](Scalars &s, ValueRange) { return op.index(s, 0); });
      Dims dims = term.tensor.dims();
      SmallVector<int64_t> coords;
      for (size_t d = 0; d < dims.size(); ++d)
        coords.push_back(d == j ? -1 : d < j ? static_cast<int64_t>(d) : static_cast<int64_t>(d) - 1);
      dims.erase(dims.begin() + j);
      term.tensor = op.gather(term.tensor, {Operand(at, {static_cast<int64_t>(i)})}, coords, dims);
      term.letters.erase(j, 1);
      --j;
    }
}

static void sumLetters(Op &op, Term &term, llvm::function_ref<bool(char)> isKept) {
  SmallVector<int64_t> dims;
  std::string kept;
  for (auto [i, letter] : llvm::enumerate(term.letters))
    if (isKept(letter))
      kept.push_back(letter);
    else
      dims.push_back(i);
  term.tensor = op.reduce(ReduceKind::Sum, term.tensor, dims);
  term.letters = kept;
}

/// Letters for "...": the last dimensions get the last ones.
static constexpr char kFirstHidden = 1;

static bool parseTerm(Op &op, StringRef text, int64_t rank, std::string &letters) {
  size_t dots = text.find("...");
  StringRef before = text.take_front(dots), after = dots == StringRef::npos ? StringRef() : text.drop_front(dots + 3);
  int64_t hidden = rank - static_cast<int64_t>(before.size() + after.size());
  if (hidden < 0 || hidden > 26 || (dots == StringRef::npos && hidden != 0))
    return (void)op.error("has a term '" + text + "' for an operand of rank " + Twine(rank)), false;
  letters = before.str();
  for (int64_t i = hidden; i > 0; --i)
    letters.push_back(static_cast<char>(kFirstHidden + i - 1));
  letters += after.str();
  for (char c : letters)
    if (!llvm::isAlpha(c) && (c < kFirstHidden || c >= kFirstHidden + 26))
      return (void)op.error("has a term '" + text + "' with something that is no letter"), false;
  return true;
}

static LogicalResult convertEinsum(Op &op) {
  std::string equation = op.text("equation");
  llvm::erase(equation, ' ');
  auto [inputs, output] = StringRef(equation).split("->");
  bool isImplicit = !StringRef(equation).contains("->");
  SmallVector<StringRef> texts;
  inputs.split(texts, ',');
  Tensors tensors = op.tensors();
  if (op.isBad())
    return failure();
  if (texts.size() != tensors.size())
    return op.error("has " + Twine(texts.size()) + " terms for " + Twine(tensors.size()) + " operands");
  std::vector<Term> terms;
  std::map<char, int> uses;
  std::map<char, AffineExpr> sizes;
  int64_t hidden = 0;
  for (auto [text, tensor] : llvm::zip(texts, tensors)) {
    Term term{tensor, ""};
    if (!parseTerm(op, text, tensor.rank(), term.letters))
      return failure();
    for (auto [i, c] : llvm::enumerate(term.letters)) {
      ++uses[c];
      AffineExpr &size = sizes[c];
      if (!size || graph::asConstant(size) == 1)
        size = tensor.dim(i);
      if (c < kFirstHidden + 26)
        hidden = std::max<int64_t>(hidden, c - kFirstHidden + 1);
    }
    takeDiagonals(op, term);
    terms.push_back(term);
  }
  std::string result;
  if (isImplicit) {
    for (int64_t i = hidden; i > 0; --i)
      result.push_back(static_cast<char>(kFirstHidden + i - 1));
    for (auto [c, n] : uses)
      if (n == 1 && c >= 'A')
        result.push_back(c);
  } else {
    int64_t rank = static_cast<int64_t>(output.size()) + (output.contains("...") ? hidden - 3 : 0);
    if (!parseTerm(op, output, rank, result))
      return failure();
  }
  std::set<char> seen;
  for (char c : result)
    if (!sizes.count(c) || !seen.insert(c).second)
      return op.error("has a result term that repeats a letter, or has one that no operand has");
  // Sizes of 1 broadcast: such dimensions are dropped and come back at the end.
  for (Term &term : terms) {
    SmallVector<int64_t> drop;
    std::string kept;
    for (auto [i, c] : llvm::enumerate(term.letters)) {
      bool isUnit = graph::asConstant(term.tensor.dim(i)) == 1 && graph::asConstant(sizes[c]) != 1;
      if (isUnit)
        drop.push_back(i);
      else
        kept.push_back(c);
    }
    term.tensor = op.squeeze(term.tensor, drop);
    term.letters = kept;
  }
  // From the left, two at a time; what nobody needs later is summed at once.
  while (terms.size() > 1) {
    Term l = terms[0], r = terms[1];
    terms.erase(terms.begin());
    auto isNeeded = [&](char c) {
      return StringRef(result).contains(c) ||
             llvm::any_of(llvm::drop_begin(terms), [&](const Term &t) { return StringRef(t.letters).contains(c); });
    };
    sumLetters(op, l, [&](char c) { return isNeeded(c) || StringRef(r.letters).contains(c); });
    sumLetters(op, r, [&](char c) { return isNeeded(c) || StringRef(l.letters).contains(c); });
    std::string out;
    for (StringRef letters : {StringRef(l.letters), StringRef(r.letters)})
      for (char c : letters)
        if (isNeeded(c) && !StringRef(out).contains(c))
          out.push_back(c);
    terms[0] = {op.contract(l.tensor, l.letters, r.tensor, r.letters, out), out};
    if (!terms[0].tensor)
      return failure();
  }
  Term last = terms[0];
  sumLetters(op, last, [&](char c) { return StringRef(result).contains(c); });
  if (!last.tensor)
    return failure();
  SmallVector<int64_t> order;
  Dims dims;
  for (char c : result) {
    size_t at = last.letters.find(c);
    if (at != std::string::npos)
      order.push_back(at);
    dims.push_back(sizes[c]);
  }
  Tensor y = op.permute(last.tensor, order);
  return op.finish(op.reshape(y, dims));
}

static LogicalResult convertDet(Op &op) {
  Tensor x = op.tensor(0);
  if (!x)
    return failure();
  std::optional<int64_t> n = x.rank() >= 2 ? graph::asConstant(x.dim(x.rank() - 1)) : std::nullopt;
  if (!n || graph::asConstant(x.dim(x.rank() - 2)) != *n)
    return op.unsupported("of matrices that are not square, or of symbolic size");
  if (*n > 16)
    return op.unsupported("of matrices of more than 16 rows");
  // Elimination with the largest pivot of each column, unrolled.
  int64_t rank = x.rank();
  ScalarType type = x.dtype;
  Tensor a = op.convert(x, computeType(type));
  Tensor result = op.full(ArrayRef(x.dims()).drop_back(2), a.dtype, 1);
  for (int64_t k = *n; k > 0 && a; --k) {
    Tensor column = op.select(a, rank - 1, op.constant(0)); // [..., k]
    Tensor size = op.unary(column, [](Scalars &s, Value v) { return s.abs(v); });
    Tensor at = op.argReduce(ReduceKind::Max, size, rank - 2); // [...]
    // Row `at` and row 0 change places.
    Tensor rows = op.map(
        ScalarType::Long, ScalarType::Long, {op.unsqueeze(at, rank - 2)},
        [&](Scalars &s, ValueRange v) {
          Value i = op.index(s, rank - 2), zero = s.integer(0);
          Value swapped = s.select(s.compare(Compare::Eq, i, v[0]), zero, i);
          return s.select(s.compare(Compare::Eq, i, zero), v[0], swapped);
        },
        ScalarType::Unknown, [&] { Dims d = at.dims(); d.push_back(op.constant(k)); return d; }());
    SmallVector<int64_t> coords = upTo(rank), places = upTo(rank - 1);
    coords[rank - 2] = -1;
    a = op.gather(a, {Operand(rows, places)}, coords, a.dims());
    Tensor isSwapped = op.compare(Compare::Ne, at, op.scalar(ScalarType::Long, 0));
    Tensor pivotRow = op.slice(a, rank - 2, op.constant(0), op.constant(1)); // [..., 1, k]
    Tensor pivot = op.select(op.select(a, rank - 2, op.constant(0)), rank - 2, op.constant(0));
    result = op.map(a.dtype, a.dtype, {result, pivot, Operand::raw(isSwapped)}, [](Scalars &s, ValueRange v) {
      Value product = s.mul(v[0], v[1]);
      return s.select(v[2], s.neg(product), product);
    });
    if (k == 1)
      break;
    Tensor below = op.slice(op.slice(a, rank - 2, op.constant(1), op.constant(k - 1)), rank - 1, op.constant(1),
                            op.constant(k - 1));
    Tensor heads = op.slice(op.slice(a, rank - 2, op.constant(1), op.constant(k - 1)), rank - 1, op.constant(0),
                            op.constant(1));
    Tensor tail = op.slice(pivotRow, rank - 1, op.constant(1), op.constant(k - 1));
    Tensor corner = op.slice(pivotRow, rank - 1, op.constant(0), op.constant(1));
    a = op.map(a.dtype, a.dtype, {below, heads, tail, corner}, [](Scalars &s, ValueRange v) {
      Value isZero = s.compare(Compare::Eq, v[3], s.number(0));
      Value factor = s.select(isZero, s.number(0), s.div(v[1], v[3]));
      return s.sub(v[0], s.mul(factor, v[2]));
    });
  }
  return op.finish(op.convert(result, type));
}

void populateContract(ConverterTable &t) {
  t["MatMul"] = convertMatMul;
  t["Gemm"] = convertGemm;
  t["Einsum"] = convertEinsum;
  t["Det"] = convertDet;
}

} // namespace tenon::onnx_import
