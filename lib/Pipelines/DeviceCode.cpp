#include "DeviceCode.h"
#include "../Target/Device/Emitter.h"
#include "Parts.h"
#include "device_generated.h"
#include "tenon/Bundle/Emit.h"
#include "tenon/Target/Device/LowerKernels.h"
#include "tenon/Target/LLVMGPU/Lower.h"
#include "tenon/Target/SPIRV/Serialize.h"

using namespace mlir;
using namespace tenon;
using file::DeviceFormat;
using target::DeviceApi;

static DeviceCode makeCode(DeviceFormat format, std::string bytes) {
  return {static_cast<uint8_t>(format), std::move(bytes)};
}

/// Vulkan's drivers compile an entry point at a time: each kernel is a module.
static LogicalResult writeSPIRV(ModuleOp functions, DeviceProgram &program) {
  for (auto [i, function] : llvm::enumerate(llvm::to_vector(functions.getOps<func::FuncOp>()))) {
    FailureOr<std::string> code = spirv::serializeKernel(function);
    if (failed(code))
      return functions.emitError() << "kernel '" << program.kernels[i].name << "' cannot be written as SPIR-V";
    program.kernels[i].module = i;
    program.kernels[i].codeBytes = code->size();
    program.modules.push_back({makeCode(DeviceFormat::SPIRV, std::move(*code))});
  }
  return success();
}

/// All kernels are one module.
static LogicalResult writeMachineCode(ModuleOp functions, target::GPUAttr device, unsigned threads, DeviceProgram &program) {
  if (failed(llvmgpu::lowerKernels(functions, device)))
    return failure();
  for (DeviceKernel &kernel : program.kernels)
    if (auto bytes = functions.lookupSymbol(kernel.name)->getAttrOfType<IntegerAttr>(llvmgpu::kSharedAttr))
      kernel.shared = bytes.getInt();
  std::vector<std::pair<std::string, std::string>> parts;
  if (failed(emitParts(functions, threads, [&](llvm::Module &part) { return emitDevice(part, device); }, parts)))
    return failure();
  std::vector<std::string> texts;
  for (auto [kernel, part] : llvm::zip(program.kernels, parts)) {
    assert(kernel.name == part.first && "parts come in the order of the functions");
    kernel.codeBytes = part.second.size();
    texts.push_back(std::move(part.second));
  }
  std::vector<DeviceCode> forms;
  if (device.getApi() == DeviceApi::CUDA) {
    std::string text = joinPTX(texts);
    llvm::Expected<std::string> binary = assemblePTX(text, device);
    if (!binary)
      return functions.emitError() << llvm::toString(binary.takeError());
    if (!binary->empty())
      forms.push_back(makeCode(DeviceFormat::Binary, std::move(*binary)));
    text.push_back(0);
    forms.push_back(makeCode(DeviceFormat::PTX, std::move(text)));
  } else {
    llvm::Expected<std::string> object = linkCodeObject(texts);
    if (!object)
      return functions.emitError() << llvm::toString(object.takeError());
    forms.push_back(makeCode(DeviceFormat::Binary, std::move(*object)));
  }
  program.modules.push_back(std::move(forms));
  return success();
}

LogicalResult tenon::writeDeviceProgram(ModuleOp functions, target::GPUAttr device, unsigned threads, DeviceProgram &program) {
  if (failed(device::prepareKernels(functions, device)))
    return failure();
  for (auto function : functions.getOps<func::FuncOp>()) {
    auto number = [&](StringRef name) { return static_cast<uint32_t>(function->getAttrOfType<IntegerAttr>(name).getInt()); };
    program.kernels.push_back({function.getSymName().str(), 0, number(device::kThreadsAttr), number(device::kSlotsAttr), 0, 0});
  }
  if (program.kernels.empty())
    return success();
  return device.getApi() == DeviceApi::Vulkan ? writeSPIRV(functions, program)
                                              : writeMachineCode(functions, device, threads, program);
}
