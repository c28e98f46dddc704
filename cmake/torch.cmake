# LibTorch: the system's, or the one in the torch of an interpreter that GRADSTAB_TORCH_PYTHON names.
#
# Installed too: a project that uses gradstab::libtorch finds its torch in the same way.
include(${CMAKE_CURRENT_LIST_DIR}/torch_of_python.cmake)
set(GRADSTAB_TORCH_PYTHON "" CACHE FILEPATH
    "an interpreter whose torch the LibTorch adaptor is built with, instead of the system's LibTorch")

# gradstab_make_global(TARGETS): what find_package has found in this folder, beside TARGETS, is known everywhere. Imported targets
# are otherwise known in the folder that found them and below, and a project that contains this one links them from above.
function(gradstab_make_global)
  get_property(targets DIRECTORY PROPERTY IMPORTED_TARGETS)
  list(REMOVE_ITEM targets "" ${ARGN})
  foreach(target IN LISTS targets)
    set_property(TARGET ${target} PROPERTY IMPORTED_GLOBAL TRUE)
  endforeach()
endfunction()

# gradstab_link_torch(TARGET VERSION ERROR): TARGET, an interface, brings LibTorch. VERSION is the variable for its version,
# such as 1.13.0 or 2.15.0+cu132, ERROR that for what is missing, else empty. The target's property GRADSTAB_C10 is the
# file of the library c10, by which one LibTorch is told from another.
function(gradstab_link_torch target version error)
  set(reason "")
  if(GRADSTAB_TORCH_PYTHON)
    gradstab_link_torch_of_python(${target} ${GRADSTAB_TORCH_PYTHON} found reason)
    set(whose "torch of ${GRADSTAB_TORCH_PYTHON}")
  else()
    find_package(Torch QUIET)
    if(Torch_FOUND)
      # Debian's headers of the C++ interface are beside those that its CMake package names.
      find_path(GRADSTAB_TORCH_API torch/torch.h PATHS /usr/include/torch/csrc/api/include)
      target_include_directories(${target} SYSTEM INTERFACE ${TORCH_INCLUDE_DIRS} ${GRADSTAB_TORCH_API})
      target_link_libraries(${target} INTERFACE ${TORCH_LIBRARIES})
      gradstab_link_openmp(${target} "" reason)
      find_library(c10 c10 PATHS ${TORCH_INSTALL_PREFIX}/lib NO_CACHE REQUIRED)
      gradstab_identify_torch(${target} ${c10})
      set(found ${Torch_VERSION})
      set(whose "the system's")
    else()
      set(reason "LibTorch was not found; Torch_DIR or CMAKE_PREFIX_PATH says where it is, or GRADSTAB_TORCH_PYTHON which \
interpreter has one")
    endif()
  endif()
  if(NOT reason)
    message(STATUS "LibTorch: ${found}, ${whose}")
  endif()
  set(${version} "${found}" PARENT_SCOPE)
  set(${error} "${reason}" PARENT_SCOPE)
endfunction()
