# Links each archive as a whole into a shared object and looks for its symbols among what that exports.
#   cmake -D NM=nm -D CXX=c++ -D WORK=dir -D INSIDE=libgradstab.a -D INSTALLED=libgradstab.a -P exports_nothing.cmake
include(${CMAKE_CURRENT_LIST_DIR}/steps.cmake)
file(REMOVE_RECURSE ${WORK})
file(MAKE_DIRECTORY ${WORK})
foreach(archive INSIDE INSTALLED)
  run(${CXX} -shared -Wl,--whole-archive ${${archive}} -Wl,--no-whole-archive -o ${WORK}/${archive}.so)
  execute_process(COMMAND ${NM} -D --defined-only ${WORK}/${archive}.so OUTPUT_VARIABLE symbols
                  COMMAND_ERROR_IS_FATAL ANY)
  string(REGEX MATCHALL "[^\n]*gradstab[^\n]*" ${archive}_symbols "${symbols}")
endforeach()
if(INSIDE_symbols)
  message(FATAL_ERROR "exported although built inside:\n${INSIDE_symbols}")
elseif(NOT INSTALLED_symbols MATCHES "GradientTransform")
  message(FATAL_ERROR "the control exports nothing either, so that this test cannot fail")
endif()
