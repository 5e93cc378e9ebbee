//===- EmitDevice.cpp - kernels to PTX and code objects -------------------===//
#include "Machine.h"
#include "llvm/IR/InstIterator.h"
#include "llvm/IR/Instructions.h"
#include "llvm/IR/Module.h"
#include "llvm/Support/Program.h"
#include <cstdlib>

using namespace llvm;
using namespace tenon;
using target::DeviceApi;

Expected<std::string> tenon::emitDevice(Module &module, target::GPUAttr device, const EmitOptions &options) {
  bool isCUDA = device.getApi() == DeviceApi::CUDA;
  // Without a version of PTX LLVM takes the oldest that has the architecture, which most drivers read.
  Machine description{isCUDA ? "nvptx64-nvidia-cuda" : "amdgcn-amd-amdhsa", device.getArch().str(), ""};
  Expected<std::unique_ptr<TargetMachine>> machine = makeMachine(description, options.optLevel);
  if (!machine)
    return machine.takeError();
  describe(module, **machine);
  if (!isCUDA)
    module.addModuleFlag(Module::Error, "amdhsa_code_object_version", 500); // what ROCm 5 to 7 load
  for (Function &function : module) {
    function.addFnAttr(Attribute::NoUnwind);
    if (function.isDeclaration())
      continue;
    function.addFnAttr("target-cpu", device.getArch());
    // What warps do together is written as assembly where there is no intrinsic: it stays where it is.
    for (Instruction &instruction : instructions(function))
      if (auto *call = dyn_cast<CallInst>(&instruction); call && call->isInlineAsm())
        call->setConvergent();
    if (!isCUDA) {
      function.addFnAttr("uniform-work-group-size", "true");
      function.addFnAttr("amdgpu-no-dispatch-ptr");
      function.addFnAttr("amdgpu-no-queue-ptr");
      function.addFnAttr("amdgpu-no-implicitarg-ptr");
    }
  }
  // As for CPUs, after addresses have found their spaces. AMD's kernels are given what they do not say they do without.
  if (options.optLevel > 0)
    optimize(module, **machine, ("function(infer-address-spaces)," + kKernelPasses + (isCUDA ? "" : ",amdgpu-attributor")).str());
  return writeCode(module, **machine, isCUDA ? CodeGenFileType::AssemblyFile : CodeGenFileType::ObjectFile);
}

std::string tenon::joinPTX(ArrayRef<std::string> parts) {
  std::string text;
  for (StringRef part : parts) {
    // The head is the same in all: version, architecture and size of addresses.
    size_t begin = part.find(".version"), end = part.find(".address_size");
    assert(begin != StringRef::npos && end != StringRef::npos && "LLVM writes a head");
    text += part.drop_front(text.empty() ? begin : part.find('\n', end) + 1).ltrim('\n');
    text += '\n';
  }
  return text;
}

Expected<std::string> tenon::assemblePTX(StringRef ptx, target::GPUAttr device) {
  const char *chosen = std::getenv("TENON_PTXAS");
  ErrorOr<std::string> tool = sys::findProgramByName(chosen ? chosen : "ptxas");
  if (!tool) {
    if (chosen && *chosen)
      return createStringError(Twine("TENON_PTXAS names '") + chosen + "', which is not there");
    return std::string();
  }
  Expected<WorkFolder> folder = WorkFolder::make("ptxas");
  if (!folder)
    return folder.takeError();
  Expected<std::string> input = folder->write("kernels.ptx", ptx);
  if (!input)
    return input.takeError();
  std::string output = folder->place("kernels.cubin"), log = folder->place("log");
  std::string arch = ("-arch=" + device.getArch()).str();
  std::optional<StringRef> redirects[] = {std::nullopt, StringRef(log), StringRef(log)};
  std::string message;
  int code = sys::ExecuteAndWait(*tool, {*tool, arch, "-O3", *input, "-o", output}, std::nullopt, redirects, 0, 0, &message);
  if (code == 0)
    return folder->read("kernels.cubin");
  Expected<std::string> said = folder->read("log");
  return createStringError("ptxas refuses the kernels for " + device.getArch() + ": " + message +
                           folder->clean(said ? *said : toString(said.takeError())));
}

Expected<std::string> tenon::linkCodeObject(ArrayRef<std::string> objects) {
  Expected<WorkFolder> folder = WorkFolder::make("link");
  if (!folder)
    return folder.takeError();
  std::vector<std::string> arguments{"-shared", "--no-undefined", "--hash-style=gnu", "--build-id=none", "--threads=1",
                                     "--fatal-warnings"};
  for (auto [i, object] : llvm::enumerate(objects)) {
    Expected<std::string> file = folder->write(Twine(i) + ".o", object);
    if (!file)
      return file.takeError();
    arguments.push_back(std::move(*file));
  }
  arguments.insert(arguments.end(), {"-o", folder->place("image")});
  if (Error error = runLLD(arguments, *folder))
    return error;
  return folder->read("image");
}
