# What the scripts here share.

# Runs a command; with its output in the message it fails the test unless the command succeeds. The output is in `ran`.
function(run)
  execute_process(COMMAND ${ARGN} RESULT_VARIABLE result OUTPUT_VARIABLE output ERROR_VARIABLE output)
  if(NOT result EQUAL 0)
    list(JOIN ARGN " " command)
    message(FATAL_ERROR "${command}\nends with ${result}:\n${output}")
  endif()
  message(STATUS "${output}")
  set(ran "${output}" PARENT_SCOPE)
endfunction()

# The shared libraries that a program or library asks the loader for, as a list.
function(needed_libraries file variable)
  execute_process(COMMAND ${READELF} -d ${file} OUTPUT_VARIABLE entries COMMAND_ERROR_IS_FATAL ANY)
  string(REGEX MATCHALL "\\(NEEDED\\)[^\n]*" entries "${entries}")
  list(TRANSFORM entries REPLACE ".*\\[([^\n]*)\\].*" "\\1")
  set(${variable} ${entries} PARENT_SCOPE)
endfunction()

# Fails unless `program` is linked in this way, "static" or "shared"; then runs it, and it prints what EXPECTED matches.
function(run_engine program linkage)
  needed_libraries(${program} needed)
  list(FILTER needed INCLUDE REGEX "gradstab")
  if(linkage STREQUAL "shared" AND NOT needed STREQUAL "libgradstab.so.${SOVERSION}")
    message(FATAL_ERROR "${program} is to need libgradstab.so.${SOVERSION}, needs '${needed}'")
  elseif(linkage STREQUAL "static" AND needed)
    message(FATAL_ERROR "${program} is to contain the library, needs '${needed}'")
  endif()
  run(${program})
  if(EXPECTED AND NOT ran MATCHES "${EXPECTED}")
    message(FATAL_ERROR "${program} is to print what matches '${EXPECTED}'")
  endif()
endfunction()
