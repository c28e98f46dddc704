// What the shared library exports, and the library's version. Preprocessor only, so that C headers may
// include it too.
//
// GRADSTAB_API marks what the shared library exports; everything else in it is hidden. The mark is the same
// when the library is built and when it is used: the type information of an exception is emitted on both
// sides, and both must agree that it is one type. The build defines GRADSTAB_STATIC for a library that is
// only built as a static one; the symbols of such a copy stay inside the program or shared object that embeds
// it, where another copy cannot collide with them.
#pragma once

#if !defined(GRADSTAB_STATIC) && defined(__GNUC__)
#define GRADSTAB_API __attribute__((visibility("default")))
#define GRADSTAB_LOCAL __attribute__((visibility("hidden")))  // a private part of something public
#else
#define GRADSTAB_API
#define GRADSTAB_LOCAL
#endif

#define GRADSTAB_VERSION "0.2.0"
