# Finds LLVM, MLIR and lld 22.1 and defines how tenon's compiler libraries are built against them.
find_package(MLIR 22.1 REQUIRED CONFIG HINTS /usr/lib/llvm-22/lib/cmake/mlir)
find_package(LLD REQUIRED CONFIG HINTS ${LLVM_DIR}/../lld)
list(APPEND CMAKE_MODULE_PATH "${MLIR_CMAKE_DIR}" "${LLVM_CMAKE_DIR}")
include(TableGen)
include(AddLLVM)
include(AddMLIR)

include_directories(SYSTEM ${LLVM_INCLUDE_DIRS} ${MLIR_INCLUDE_DIRS})
include_directories(${CMAKE_SOURCE_DIR} ${CMAKE_SOURCE_DIR}/include ${CMAKE_SOURCE_DIR}/runtime/include
                    ${CMAKE_BINARY_DIR} ${CMAKE_BINARY_DIR}/include)
# LLVM_DEFINITIONS is one string; add_definitions would mangle it.
separate_arguments(TENON_LLVM_DEFS NATIVE_COMMAND ${LLVM_DEFINITIONS})
add_definitions(${TENON_LLVM_DEFS})
# ccache can only reuse a precompiled header that has no timestamp in it.
if(CMAKE_CXX_COMPILER_ID MATCHES Clang)
  add_compile_options("SHELL:$<$<COMPILE_LANGUAGE:CXX>:-Xclang -fno-pch-timestamp>")
endif()

# One precompiled header for every compiler library.
file(WRITE ${CMAKE_BINARY_DIR}/pch_anchor.cpp.in "// carries the precompiled header\n")
configure_file(${CMAKE_BINARY_DIR}/pch_anchor.cpp.in ${CMAKE_BINARY_DIR}/pch_anchor.cpp COPYONLY)
add_library(TenonPch OBJECT ${CMAKE_BINARY_DIR}/pch_anchor.cpp)
target_precompile_headers(TenonPch PRIVATE ${CMAKE_SOURCE_DIR}/include/tenon/Support/Pch.h)

# tenon_add_library(NAME sources... [LINK libs...] [DEPENDS targets...])
function(tenon_add_library name)
  cmake_parse_arguments(A "" "" "LINK;DEPENDS" ${ARGN})
  add_library(${name} STATIC ${A_UNPARSED_ARGUMENTS})
  target_precompile_headers(${name} REUSE_FROM TenonPch)
  target_compile_options(${name} PRIVATE -Wall -Wextra -Wno-unused-parameter)
  target_link_libraries(${name} PUBLIC ${A_LINK})
  add_dependencies(${name} TenonTableGen ${A_DEPENDS})
endfunction()

# tenon_add_dialect_tablegen(Graph graph): everything generated from dialects/<Dir>/IR/<Dir>Ops.td
function(tenon_add_dialect_tablegen dir name)
  set(LLVM_TARGET_DEFINITIONS ${dir}Ops.td)
  mlir_tablegen(${dir}Dialect.h.inc -gen-dialect-decls -dialect=${name})
  mlir_tablegen(${dir}Dialect.cpp.inc -gen-dialect-defs -dialect=${name})
  mlir_tablegen(${dir}Ops.h.inc -gen-op-decls -dialect=${name})
  mlir_tablegen(${dir}Ops.cpp.inc -gen-op-defs -dialect=${name})
  mlir_tablegen(${dir}Attrs.h.inc -gen-attrdef-decls -attrdefs-dialect=${name})
  mlir_tablegen(${dir}Attrs.cpp.inc -gen-attrdef-defs -attrdefs-dialect=${name})
  mlir_tablegen(${dir}Types.h.inc -gen-typedef-decls -typedefs-dialect=${name})
  mlir_tablegen(${dir}Types.cpp.inc -gen-typedef-defs -typedefs-dialect=${name})
  mlir_tablegen(${dir}Enums.h.inc -gen-enum-decls)
  mlir_tablegen(${dir}Enums.cpp.inc -gen-enum-defs)
  add_public_tablegen_target(Tenon${dir}IncGen)
  add_dependencies(TenonTableGen Tenon${dir}IncGen)
endfunction()
add_custom_target(TenonTableGen)

# tenon_add_passes(Prefix Name): declarations of the passes in Passes.td of this folder
function(tenon_add_passes target name)
  set(LLVM_TARGET_DEFINITIONS Passes.td)
  mlir_tablegen(Passes.h.inc -gen-pass-decls -name ${name})
  add_public_tablegen_target(${target}PassesIncGen)
  add_dependencies(TenonTableGen ${target}PassesIncGen)
endfunction()

# tenon_add_tool(NAME sources... LINK libs...): an executable against shared or static LLVM
include(TenonLink)
function(tenon_add_tool name)
  cmake_parse_arguments(A "" "" "LINK" ${ARGN})
  add_executable(${name} ${A_UNPARSED_ARGUMENTS})
  # The precompiled header is built with -fPIC; an executable's -fPIE would not match it.
  set_target_properties(${name} PROPERTIES POSITION_INDEPENDENT_CODE OFF)
  target_compile_options(${name} PRIVATE -fPIC)
  target_precompile_headers(${name} REUSE_FROM TenonPch)
  add_dependencies(${name} TenonTableGen)
  target_link_libraries(${name} PRIVATE ${A_LINK})
  tenon_link_llvm(${name})
endfunction()
