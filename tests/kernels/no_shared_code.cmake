# Fails if a unit that is compiled for newer processors shares a function with others: of several copies of an
# inline function the linker keeps any one, also for the processor that cannot run it. Fails as well if Highway's
# own library would be needed.
#   cmake -D NM=nm -D OBJECTS=a.o|b.o -P no_shared_code.cmake
string(REPLACE "|" ";" objects "${OBJECTS}")
list(FILTER objects INCLUDE REGEX "/kernels_[a-z0-9]+\\.cpp\\.o(bj)?$")
if(NOT objects)
  message(FATAL_ERROR "no kernel objects among ${OBJECTS}")
endif()
foreach(object IN LISTS objects)
  execute_process(COMMAND ${NM} -C ${object} OUTPUT_VARIABLE symbols COMMAND_ERROR_IS_FATAL ANY)
  string(REPLACE "\n" ";" symbols "${symbols}")
  foreach(symbol IN LISTS symbols)
    # W: weak functions. Weak and unique data (V, u) is the same bytes in every unit; some is left where nothing
    # is folded, in sanitized builds.
    if(symbol MATCHES "^[0-9a-f]+ W ")
      message(FATAL_ERROR "${object} defines shared code: ${symbol}")
    elseif(symbol MATCHES " U .*hwy::")
      message(FATAL_ERROR "${object} needs libhwy: ${symbol}")
    endif()
  endforeach()
endforeach()
