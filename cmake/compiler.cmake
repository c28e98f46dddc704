# Warnings, sanitizers and the compiler cache, for our own targets only.
find_program(GRADSTAB_CCACHE ccache)
if(GRADSTAB_CCACHE AND PROJECT_IS_TOP_LEVEL)
  set(CMAKE_C_COMPILER_LAUNCHER ${GRADSTAB_CCACHE})
  set(CMAKE_CXX_COMPILER_LAUNCHER ${GRADSTAB_CCACHE})
endif()

if(GRADSTAB_SANITIZE)
  add_compile_options(-fsanitize=${GRADSTAB_SANITIZE} -fno-omit-frame-pointer -fno-sanitize-recover=all)
  add_link_options(-fsanitize=${GRADSTAB_SANITIZE})
endif()

# A compiler that nobody has tried yet may warn of more; a stranger's build does not end there.
set(newest_tried_GNU 14)
set(newest_tried_Clang 14)
set(newest_tried ${newest_tried_${CMAKE_CXX_COMPILER_ID}})
if(GRADSTAB_DEVELOPER AND newest_tried AND CMAKE_CXX_COMPILER_VERSION VERSION_LESS ${newest_tried}.9999)
  set(warnings_are_errors ON)
else()
  set(warnings_are_errors OFF)
endif()
option(GRADSTAB_WARNINGS_AS_ERRORS "end the build at a warning" ${warnings_are_errors})

# From version 13 on GCC sees what cannot happen in vectors, strings and sorts of the standard library that it has inlined.
set(gradstab_false_alarms "")
if(CMAKE_CXX_COMPILER_ID STREQUAL "GNU" AND CMAKE_CXX_COMPILER_VERSION VERSION_GREATER_EQUAL 13)
  set(gradstab_false_alarms -Wno-array-bounds -Wno-stringop-overread -Wno-stringop-overflow)
endif()

# Fast math assumes that there is no NaN, and with it goes every policy for gradients that are not finite. Engines are
# built with it, and projects inside them inherit the flag: here it is taken back. The options of a target come last on the
# line. GCC's -fno-fast-math leaves alone what was asked for by its own name.
set(gradstab_exact_math "")
if(CMAKE_CXX_COMPILER_ID STREQUAL "GNU")
  set(gradstab_exact_math -fno-fast-math -fno-finite-math-only -fno-unsafe-math-optimizations -fno-associative-math
                          -fno-reciprocal-math -fsigned-zeros)
elseif(CMAKE_CXX_COMPILER_ID MATCHES "Clang" AND NOT CMAKE_CXX_COMPILER_FRONTEND_VARIANT STREQUAL "MSVC")
  set(gradstab_exact_math -fno-fast-math)
elseif(MSVC)
  set(gradstab_exact_math /fp:precise)
endif()

# Every target of this project calls this once.
function(gradstab_compile_options target)
  target_compile_options(${target} PRIVATE ${gradstab_exact_math})
  target_compile_options(${target} PRIVATE -Wall -Wextra -Wshadow
                                           $<$<COMPILE_LANGUAGE:CXX>:-Wnon-virtual-dtor;-Woverloaded-virtual>
                                           ${gradstab_false_alarms} $<$<BOOL:${GRADSTAB_WARNINGS_AS_ERRORS}>:-Werror>)
  target_compile_features(${target} PUBLIC cxx_std_20)
endfunction()
