# Links LLVM, MLIR and lld into a tool, so that it needs none of their libraries at run time.
# Debian's packages are made for the shared libraries; what has to be turned round is said at each step.
include_guard(GLOBAL)

# Every static library of MLIR and lld asks for libLLVM.so or libMLIR.so: those would be a second copy of LLVM.
get_property(tenon_mlir_libs GLOBAL PROPERTY MLIR_ALL_LIBS)
get_property(tenon_mlir_dialects GLOBAL PROPERTY MLIR_DIALECT_LIBS)
foreach(library ${tenon_mlir_libs} ${tenon_mlir_dialects} ${MLIR_AVAILABLE_LIBS} lldELF lldCommon)
  if(TARGET ${library})
    get_target_property(needs ${library} INTERFACE_LINK_LIBRARIES)
    if(needs)
      list(REMOVE_ITEM needs LLVM MLIR "$<LINK_ONLY:LLVM>" "$<LINK_ONLY:MLIR>")
      set_property(TARGET ${library} PROPERTY INTERFACE_LINK_LIBRARIES "${needs}")
    endif()
  endif()
endforeach()
# Polly is an extension that its own package holds; a stub stands for it.
foreach(library ${LLVM_AVAILABLE_LIBS})
  if(TARGET ${library})
    get_target_property(needs ${library} INTERFACE_LINK_LIBRARIES)
    if(needs AND "Polly" IN_LIST needs)
      list(REMOVE_ITEM needs Polly)
      set_property(TARGET ${library} PROPERTY INTERFACE_LINK_LIBRARIES "${needs}")
    endif()
  endif()
endforeach()

# lld initializes every target that this LLVM was built with; all but those we emit code for are stubs.
set(tenon_stubs "#include \"llvm/Plugins/PassPlugin.h\"\n")
string(APPEND tenon_stubs "llvm::PassPluginLibraryInfo getPollyPluginInfo() {\n"
  "  return {LLVM_PLUGIN_API_VERSION, \"Polly\", \"0\", [](llvm::PassBuilder &) {}};\n}\nextern \"C\" {\n")
foreach(target ${LLVM_TARGETS_TO_BUILD})
  if(NOT target MATCHES "^(X86|NVPTX|AMDGPU)$")
    foreach(part TargetInfo Target TargetMC AsmPrinter AsmParser)
      string(APPEND tenon_stubs "void LLVMInitialize${target}${part}() {}\n")
    endforeach()
  endif()
endforeach()
string(APPEND tenon_stubs "}\n")
file(GENERATE OUTPUT ${CMAKE_BINARY_DIR}/StaticLLVMStubs.cpp CONTENT "${tenon_stubs}")
add_library(TenonStaticLLVMStubs STATIC ${CMAKE_BINARY_DIR}/StaticLLVMStubs.cpp)

llvm_map_components_to_libnames(tenon_llvm_libs X86 NVPTX AMDGPU Passes Target TargetParser MC Core Support IRReader BitReader
  BitWriter Linker TransformUtils ipo LTO DTLTO Option Coverage Analysis Object frontendopenmp frontendoffloading
  debuginfodwarf)

# Of MLIR what tenon's own libraries use; the linker leaves out what nothing refers to.
set(tenon_mlir_used)
foreach(library ${tenon_mlir_libs})
  if(NOT TARGET ${library})
    continue()
  endif()
  get_target_property(type ${library} TYPE)
  if(type STREQUAL "STATIC_LIBRARY" AND NOT library MATCHES "Test|CAPI|ExecutionEngine|Runner|Runtime|OpenACC|OpenMP|ROCDLTarget|NVVMTarget|XeVM|Wasm|Python|Lsp|Query|Reduce|Bytecode.*Main")
    list(APPEND tenon_mlir_used ${library})
  endif()
endforeach()

function(tenon_link_static_llvm target)
  target_link_libraries(${target} PRIVATE ${tenon_mlir_used} lldELF lldCommon ${tenon_llvm_libs} TenonStaticLLVMStubs)
  target_link_options(${target} PRIVATE -Wl,--as-needed -Wl,--gc-sections -static-libstdc++ -static-libgcc
    $<$<CONFIG:Release>:-Wl,--strip-all>)
endfunction()
