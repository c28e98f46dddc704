# Where the compiler links libstdc++ statically, what is linked after cmake/cxx_runtime.cmake asks for the shared one;
# where it does not, nothing changes.
#   cmake -D CHECKOUT=dir -D WORK=dir -D READELF=readelf -D CXX=c++ -D GENERATOR=Ninja -P cxx_runtime.cmake
include(${CMAKE_CURRENT_LIST_DIR}/steps.cmake)
file(REMOVE_RECURSE ${WORK})
foreach(linkage static shared)
  set(flags "")
  if(linkage STREQUAL "static")
    set(flags -static-libstdc++)
  endif()
  run(${CMAKE_COMMAND} -S ${CMAKE_CURRENT_LIST_DIR}/cxx_runtime -B ${WORK}/${linkage} -G ${GENERATOR} -DCHECKOUT=${CHECKOUT}
      -DCMAKE_CXX_COMPILER=${CXX} -DCMAKE_EXE_LINKER_FLAGS=${flags})
  run(${CMAKE_COMMAND} --build ${WORK}/${linkage})
  foreach(program before after)
    run(${WORK}/${linkage}/${program})
    needed_libraries(${WORK}/${linkage}/${program} ${program})
    list(FILTER ${program} INCLUDE REGEX "libstdc\\+\\+")
  endforeach()
  if(NOT after STREQUAL "libstdc++.so.6")
    message(FATAL_ERROR "linked ${linkage}, the program is to need libstdc++.so.6, needs '${after}'")
  elseif(linkage STREQUAL "static" AND before)
    message(FATAL_ERROR "the control needs '${before}' in spite of ${flags}, so that this test cannot fail")
  endif()
endforeach()
