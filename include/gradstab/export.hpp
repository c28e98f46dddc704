// What the shared library exports, and the library's version. Preprocessor only, so that C headers may
// include it too.
//
// GRADSTAB_API marks what the shared library exports; everything else in it is hidden. The mark is the same
// for whoever builds the library and for whoever uses it: the type information of an exception is emitted on
// both sides, and both must agree that it is one type. GRADSTAB_STATIC is defined by the build for a library
// that is never made a shared one; the symbols of such a copy stay inside the program or shared object that
// embeds it, where another copy cannot collide with them.
#pragma once

#if !defined(GRADSTAB_STATIC) && defined(__GNUC__)
#define GRADSTAB_API __attribute__((visibility("default")))
#define GRADSTAB_LOCAL __attribute__((visibility("hidden")))  // a part of something public that is not
#else
#define GRADSTAB_API
#define GRADSTAB_LOCAL
#endif

#define GRADSTAB_VERSION "0.2.0"
