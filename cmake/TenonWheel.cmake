# `ninja wheel`: a Python package with the driver and the runtime inside, in <build>/wheel. Meant for the release preset,
# whose driver needs no LLVM at run time.
find_package(Python3 COMPONENTS Interpreter)
if(Python3_FOUND)
  set(stage ${CMAKE_BINARY_DIR}/wheel-stage)
  file(CONFIGURE OUTPUT ${CMAKE_BINARY_DIR}/wheel-version CONTENT "${PROJECT_VERSION}\n")
  # The runtime asks for the C library of the machine that builds it; the tag says which.
  execute_process(COMMAND ${Python3_EXECUTABLE} -c
    "import os; print('manylinux_' + os.confstr('CS_GNU_LIBC_VERSION').split()[1].replace('.', '_') + '_x86_64')"
    OUTPUT_VARIABLE tag OUTPUT_STRIP_TRAILING_WHITESPACE)
  add_custom_target(wheel
    COMMAND ${CMAKE_COMMAND} -E rm -rf ${stage} ${CMAKE_BINARY_DIR}/wheel
    COMMAND ${CMAKE_COMMAND} -E make_directory ${stage}/tenon/bin ${stage}/tenon/lib
    COMMAND ${CMAKE_COMMAND} -E copy ${CMAKE_SOURCE_DIR}/python/pyproject.toml ${stage}
    COMMAND ${CMAKE_COMMAND} -E copy ${CMAKE_BINARY_DIR}/wheel-version ${stage}/VERSION
    COMMAND sh -c "cp ${CMAKE_SOURCE_DIR}/python/tenon/*.py ${stage}/tenon"
    COMMAND sh -c "printf '[bdist_wheel]\\nplat_name = ${tag}\\n' > ${stage}/setup.cfg"
    COMMAND ${CMAKE_COMMAND} -E copy $<TARGET_FILE:tenon> ${stage}/tenon/bin/tenon
    COMMAND ${CMAKE_COMMAND} -E copy $<TARGET_FILE:tenon_rt_devices> ${stage}/tenon/lib/libtenon_rt_devices.so
    COMMAND ${CMAKE_STRIP} ${stage}/tenon/lib/libtenon_rt_devices.so
    COMMAND ${Python3_EXECUTABLE} -m pip wheel -q --no-deps --no-build-isolation -w ${CMAKE_BINARY_DIR}/wheel ${stage}
    DEPENDS tenon tenon_rt_devices VERBATIM)
endif()
