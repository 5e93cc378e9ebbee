// From JSON to the structs of Program.h. One function per part of torch's schema; each reports what is wrong.
#ifndef TENON_LIB_IMPORT_TORCHEXPORT_DECODE_H
#define TENON_LIB_IMPORT_TORCHEXPORT_DECODE_H

#include "Cursor.h"
#include "llvm/ADT/StringMap.h"

namespace tenon::torch_export {

/// Parses each distinct symbolic expression once.
class SymExprCache {
public:
  bool read(const Cursor &c, SymExprRef &out);

private:
  llvm::StringMap<SymExprRef> known;
};

bool readSymInt(const Cursor &c, SymInt &out, SymExprCache &cache);
bool readSymFloat(const Cursor &c, SymFloat &out, SymExprCache &cache);
bool readSymBool(const Cursor &c, SymBool &out, SymExprCache &cache);
bool readCustomObj(const Cursor &c, CustomObjArg &out);
bool readTensorMeta(const Cursor &c, TensorMeta &out, SymExprCache &cache);
bool readArgument(const Cursor &c, Argument &out, SymExprCache &cache);
/// Reads a graph and checks that every name in it is defined before it is used.
bool readGraph(const Cursor &c, Graph &out, SymExprCache &cache);
/// Fills `out.inputs` and `out.outputs` from the signature and checks them against `out.graph`.
bool readSignature(const Cursor &c, ExportedProgram &out, SymExprCache &cache);
/// Reads the nesting of inputs and outputs, then names them.
bool readCallGraph(const Cursor &graphModule, ExportedProgram &out);
/// Fills one table of stored tensors. `folder` is the archive's, e.g. "model/data/weights".
bool readPayloads(const Cursor &c, llvm::StringRef folder, const ZipReader &zip, SymExprCache &cache,
                  llvm::StringMap<Payload> &out);
/// The model's own frame of a Python stack trace and the innermost module of torch's `nn_module_stack`.
Origin readOrigin(llvm::StringRef stackTrace, llvm::StringRef moduleStack, llvm::StringRef torchFunction);

} // namespace tenon::torch_export
#endif
