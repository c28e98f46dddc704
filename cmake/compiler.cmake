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

# Every target of this project calls this once.
function(gradstab_compile_options target)
  target_compile_options(${target} PRIVATE -Wall -Wextra -Wshadow
                                           $<$<COMPILE_LANGUAGE:CXX>:-Wnon-virtual-dtor;-Woverloaded-virtual>
                                           $<$<BOOL:${GRADSTAB_DEVELOPER}>:-Werror>)
  target_compile_features(${target} PUBLIC cxx_std_20)
endfunction()
