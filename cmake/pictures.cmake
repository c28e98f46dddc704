# JPEG::JPEG and PNG::PNG, by which the lab reads picture files.
find_package(JPEG QUIET)
find_package(PNG QUIET)
if(NOT JPEG_FOUND OR NOT PNG_FOUND)
  message(FATAL_ERROR "the lab reads pictures with libjpeg-turbo and libpng, and not both were found; install the Debian packages "
                      "libjpeg-dev and libpng-dev, or build without the lab (-DGRADSTAB_LAB=OFF)")
endif()
# Parts of a picture are decoded by functions that the old libjpeg does not have.
include(CheckCXXSymbolExists)
set(CMAKE_REQUIRED_LIBRARIES JPEG::JPEG)
check_cxx_symbol_exists(jpeg_crop_scanline "stdio.h;jpeglib.h" GRADSTAB_JPEG_CROPS)
unset(CMAKE_REQUIRED_LIBRARIES)
if(NOT GRADSTAB_JPEG_CROPS)
  message(FATAL_ERROR "${JPEG_LIBRARIES} is not libjpeg-turbo, which the lab reads pictures with; install the Debian package "
                      "libjpeg-dev")
endif()
