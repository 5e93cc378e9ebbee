# Which LLVM an executable gets: the shared libraries (fast to link, for development) or, with TENON_STATIC, none at run time.
if(TENON_STATIC)
  include(TenonStaticLLVM) # here and not in the function, whose scope would take the lists of libraries with it
endif()

function(tenon_link_llvm target)
  target_link_libraries(${target} PRIVATE lldELF lldCommon)
  if(TENON_STATIC)
    tenon_link_static_llvm(${target})
  else()
    target_link_libraries(${target} PRIVATE MLIR LLVM)
  endif()
endfunction()
