// Sizes that depend on data: numbers read from tensors, positions of true elements, distinct values.
#include "GraphImporter.h"
#include "Reduction.h"

using namespace mlir;
using tenon::graph::Dims;

namespace tenon::torch_export {

//===----------------------------------------------------------------------===//
// Symbols
//===----------------------------------------------------------------------===//

void collectSizes(ImportState &state, const Graph &graph) {
  for (auto &entry : graph.tensors)
    for (const SymInt &size : entry.second.sizes)
      if (size.expr)
        size.expr->forEachSymbol([&](const SymExpr &symbol) { state.sizeNames.insert(symbol.name); });
  for (const Node &node : graph.nodes) {
    if (node.op().starts_with("aten._assert_scalar") && !node.inputs.empty())
      if (auto *condition = node.inputs[0].arg.getIf<SymBoolArg>(); condition && !condition->isStatic())
        if (auto it = graph.symBools.find(condition->name); it != graph.symBools.end() && it->second.expr)
          state.asserted.push_back(it->second.expr);
    for (const NamedArgument &input : node.inputs)
      if (auto *inner = input.arg.getIf<GraphArg>())
        collectSizes(state, *inner->graph);
  }
}

/// The least expression over known symbols that `symbol` is asserted not to exceed; null when there is none.
static AffineExpr assertedBound(ImportState &state, StringRef symbol) {
  using Kind = SymExpr::Kind;
  AffineExpr best;
  for (const SymExprRef &condition : state.asserted) {
    if (condition->operands.size() != 2)
      continue;
    bool isBelow = condition->kind == Kind::Le || condition->kind == Kind::Lt;
    bool isAbove = condition->kind == Kind::Ge || condition->kind == Kind::Gt;
    if (!isBelow && !isAbove)
      continue;
    const SymExpr &least = *condition->operands[isBelow ? 0 : 1], &most = *condition->operands[isBelow ? 1 : 0];
    if (!least.isSymbol() || least.name != symbol)
      continue;
    AffineExpr bound = state.symbols.toExpr(most);
    if (!bound)
      continue;
    bool isStrict = condition->kind == Kind::Lt || condition->kind == Kind::Gt;
    bound = graph::normalize(isStrict ? bound - 1 : bound);
    if (!best || graph::asConstant(bound).value_or(std::numeric_limits<int64_t>::max()) <
                     graph::asConstant(best).value_or(std::numeric_limits<int64_t>::max()))
      best = bound;
  }
  return best;
}

/// A bound beyond this is none: memory is set aside for it.
static constexpr int64_t kLargestBound = int64_t(1) << 24;

/// A number from data becomes a size. False when it is known already; an error when it has no bound.
bool GraphImporter::defineSize(Op &op, const SymExpr &symbol, StringRef name, Tensor value) {
  if (!value || state.symbols.isDeclared(symbol.name))
    return false;
  Range range;
  if (auto it = state.program.ranges.find(symbol.name); it != state.program.ranges.end())
    range = it->second;
  AffineExpr bound = assertedBound(state, symbol.name);
  bool isFixed = range.max && *range.max <= kLargestBound;
  if (isFixed && (!bound || !graph::asConstant(bound)))
    bound = getAffineConstantExpr(*range.max, state.context);
  if (!bound) {
    values.poison(name);
    state.addUnsupported(op.node, "as a size without an upper bound",
                         "say how large it may be, with torch._check(n <= LIMIT)");
    return true;
  }
  int64_t min = std::max<int64_t>(0, range.min.value_or(0));
  unsigned position = state.symbols.declareFound(symbol.name, min, range.max.value_or(SizeSymbols::kMaxSize), bound);
  AffineExpr expr = getAffineSymbolExpr(position, state.context);
  graph::DefineSizeOp::create(b, op.loc, value.value, graph::DimsAttr::get(state.context, {expr}));
  Number number;
  number.expr = expr;
  values.bindNumber(name, number);
  return true;
}

/// What the exporter calls the size that result `of` of an operator has, when nothing has that name yet.
static std::string nameOfSize(Op &op, unsigned of) {
  if (const TensorMeta *meta = op.resultMeta(of))
    for (const SymInt &size : meta->sizes)
      if (size.expr && size.expr->isSymbol() && !op.importer.state.symbols.isDeclared(size.expr->name))
        return size.expr->name;
  return "";
}

Tensor Op::nonzero(Tensor mask, unsigned of) { return GraphBuilder::nonzero(mask, nameOfSize(*this, of)); }

AffineExpr Op::foundSize(Tensor value, unsigned of) {
  if (!value)
    return {};
  ImportState &state = importer.state;
  std::string name = nameOfSize(*this, of);
  AffineExpr bound = assertedBound(state, name);
  Range range;
  if (auto it = state.program.ranges.find(name); it != state.program.ranges.end())
    range = it->second;
  if (!bound && range.max && *range.max <= kLargestBound)
    bound = constant(*range.max);
  if (!bound) {
    (void)unsupported("with a size that depends on data and has no upper bound",
                      "say how large it may be, with torch._check(n <= LIMIT) on the result's size");
    return {};
  }
  return defineSize(value, std::max<int64_t>(0, range.min.value_or(0)), SizeSymbols::kMaxSize, bound, name);
}

//===----------------------------------------------------------------------===//
// Operators
//===----------------------------------------------------------------------===//

static Tensor isNonzero(Op &op, Tensor x) {
  return x.dtype == ScalarType::Bool ? x : op.convert(x, ScalarType::Bool);
}

/// torch.nonzero of a scalar has rows of no coordinates.
static LogicalResult convertNonzero(Op &op) {
  bool isWhere = op.node.op().starts_with("aten.where");
  Tensor x = op.tensor(isWhere ? "condition" : "self");
  if (!x)
    return failure();
  Tensor positions = op.nonzero(isNonzero(op, x));
  if (isWhere || op.node.op().starts_with("aten.nonzero_numpy")) {
    Tensors columns;
    for (int64_t d = 0; d < x.rank(); ++d)
      columns.push_back(op.select(positions, 1, op.constant(d)));
    return op.finish(columns);
  }
  return op.finish(positions);
}

static LogicalResult convertMaskedSelect(Op &op) {
  Tensor x = op.tensor("self"), mask = op.tensor("mask");
  if (op.isBad())
    return failure();
  std::optional<Dims> shape = op.broadcastDims({x.dims(), mask.dims()});
  if (!shape)
    return failure();
  x = op.broadcast(x, *shape);
  Tensor positions = op.nonzero(op.broadcast(isNonzero(op, mask), *shape));
  if (!x || !positions)
    return failure();
  SmallVector<Operand> columns;
  SmallVector<int64_t> coords;
  for (int64_t d = 0; d < x.rank(); ++d) {
    columns.push_back(Operand(op.select(positions, 1, op.constant(d)), {0}));
    coords.push_back(-d - 1);
  }
  return op.finish(op.gather(x, columns, coords, {positions.dim(0)}));
}

/// Distinct values: of the sorted elements, those that differ from the one before; or of the elements as they stand.
static LogicalResult convertUnique(Op &op, bool isSorted) {
  Tensor x = op.tensor("self");
  if (!x)
    return failure();
  if (op.has("dim"))
    return op.unsupported("along one dimension", "call torch.unique without dim");
  Dims shape = x.dims();
  AffineExpr count = graph::numElements(x.value.getType());
  x = op.reshape(x, {count});
  Tensor order;
  if (isSorted)
    std::tie(x, order) = op.sort(x, 0, false);
  // Each element next to the one before; the first counts as new.
  Tensor before = op.gather(x, {op.generate(ScalarType::Long, ScalarType::Long, {count}, [&](Scalars &s, ValueRange) {
    return s.max(s.sub(op.index(s, 0), s.integer(1)), s.integer(0));
  })}, {-1}, {count});
  ScalarType type = computeType(x.dtype);
  Tensor isNew = op.map(ScalarType::Bool, type, {x, before},
                        [&](Scalars &s, ValueRange v) { return s.compare(Compare::Ne, v[0], v[1]); }, ScalarType::Bool);
  Tensor isFirst = op.generate(
      ScalarType::Bool, ScalarType::Long, {count},
      [&](Scalars &s, ValueRange) { return s.compare(Compare::Eq, op.index(s, 0), s.integer(0)); }, ScalarType::Bool);
  isNew = op.map(ScalarType::Bool, ScalarType::Bool, {isNew, isFirst},
                 [](Scalars &s, ValueRange v) { return s.either(v[0], v[1]); });
  Tensor positions = op.nonzero(isNew);
  if (!positions)
    return failure();
  AffineExpr found = positions.dim(0);
  positions = op.reshape(positions, {found});
  Tensors results{op.gather(x, {positions}, {-1}, {found}), Tensor(), Tensor()};
  if (op.isUsed(1)) {
    Tensor rank = op.cumulate(graph::ReduceKind::Sum, op.convert(isNew, ScalarType::Long), 0);
    rank = op.map(ScalarType::Long, ScalarType::Long, {rank},
                  [](Scalars &s, ValueRange v) { return s.sub(v[0], s.integer(1)); });
    if (isSorted)
      rank = op.scatter(graph::ScatterKind::Set, rank, op.full({count}, ScalarType::Long, 0), {order}, {-1});
    results[1] = op.reshape(rank, shape);
  }
  if (op.isUsed(2)) {
    // Up to the next distinct value, or the end.
    Tensor end = op.map(ScalarType::Long, ScalarType::Long, {}, [&](Scalars &s, ValueRange) {
      return op.sizeValue(s, count);
    }, ScalarType::Unknown, Dims{op.constant(1)});
    Tensor next = op.slice(op.concat({positions, end}, 0), 0, op.constant(1), found);
    results[2] = op.map(ScalarType::Long, ScalarType::Long, {next, positions},
                        [](Scalars &s, ValueRange v) { return s.sub(v[0], v[1]); });
  }
  return op.finish(results);
}

//===----------------------------------------------------------------------===//
// Slices whose bounds come from data
//===----------------------------------------------------------------------===//

bool isFromData(Op &op, StringRef name) {
  auto *sym = op.node.arg(name).getIf<SymIntArg>();
  return sym && !sym->isStatic() && !op.importer.values.number(sym->name) && op.importer.values.has(sym->name);
}

static bool canCopy(Op &op) {
  if (!op.importer.values.tracksViews)
    return true;
  (void)op.unsupported("at a place that depends on data, in a program that writes in place",
                       "call run_decompositions() on the exported program");
  return false;
}

/// x[..., start:end:step]: the elements are read at positions, and their number becomes a size.
LogicalResult convertFoundSlice(Op &op) {
  Tensor x = op.tensor("self");
  if (!x || x.rank() == 0 || !canCopy(op))
    return op.isBad() ? failure() : op.error("slices a tensor of rank 0");
  int64_t dim = op.dim("dim", x.rank(), 0), step = op.integer("step", 1);
  Operand start = op.operandOr("start", Number::of(int64_t(0)));
  Operand end = op.operandOr("end", Number::of(std::numeric_limits<int64_t>::max()));
  if (op.isBad() || step < 1)
    return op.isBad() ? failure() : op.error("has a step that is not positive");
  AffineExpr n = x.dim(dim);
  auto bound = [&](Operand value) {
    return op.map(
        ScalarType::Long, ScalarType::Long, {value},
        [&](Scalars &s, ValueRange v) {
          Value size = op.sizeValue(s, n), zero = s.integer(0);
          Value at = s.select(s.compare(Compare::Lt, v[0], zero), s.add(v[0], size), v[0]);
          return s.max(s.min(at, size), zero);
        },
        ScalarType::Unknown, Dims());
  };
  Tensor first = bound(start);
  Tensor count = op.map(ScalarType::Long, ScalarType::Long, {first, bound(end)}, [&](Scalars &s, ValueRange v) {
    Value length = s.max(s.sub(v[1], v[0]), s.integer(0));
    return s.truncDiv(s.add(length, s.integer(step - 1)), s.integer(step));
  });
  if (!count)
    return failure();
  AffineExpr size = op.defineSize(count, 0, SizeSymbols::kMaxSize, n, nameOfSize(op, 0));
  Tensor positions = op.map(
      ScalarType::Long, ScalarType::Long, {first},
      [&](Scalars &s, ValueRange v) { return s.add(v[0], s.mul(op.index(s, 0), s.integer(step))); },
      ScalarType::Unknown, Dims{size});
  Dims dims = x.dims();
  dims[dim] = size;
  SmallVector<int64_t> coords = upTo(x.rank());
  coords[dim] = -1;
  return op.finish(op.gather(x, {Operand(positions, dim)}, coords, dims));
}

/// x[..., i]
LogicalResult convertFoundSelect(Op &op) {
  Tensor x = op.tensor("self");
  Operand index = op.operand("index");
  if (op.isBad() || x.rank() == 0 || !canCopy(op))
    return op.isBad() ? failure() : op.error("selects from a tensor of rank 0");
  int64_t dim = op.dim("dim", x.rank());
  if (op.isBad() || !index.tensor)
    return failure();
  Dims dims = x.dims();
  Tensor position = op.wrapIndices(op.reshape(op.convert(index.tensor, ScalarType::Long), {}), dims[dim]);
  dims.erase(dims.begin() + dim);
  SmallVector<int64_t> coords;
  for (int64_t d = 0; d < x.rank(); ++d)
    coords.push_back(d == dim ? -1 : d < dim ? d : d - 1);
  return op.finish(op.gather(x, {Operand(position, SmallVector<int64_t>())}, coords, dims));
}

void populateFound(ConverterTable &t) {
  t["aten.nonzero"] = t["aten.nonzero_numpy"] = t["aten.argwhere"] = convertNonzero;
  t["aten.where.default"] = convertNonzero;
  t["aten.masked_select"] = convertMaskedSelect;
  t["aten._unique"] = t["aten._unique2"] = [](Op &op) { return convertUnique(op, true); };
  t["aten.unique_consecutive"] = [](Op &op) { return convertUnique(op, false); };
}

} // namespace tenon::torch_export
