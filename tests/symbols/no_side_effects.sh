#!/usr/bin/env bash
# The library neither prints nor ends the process, its core opens no files, and its messages do not depend on the
# program's locale: its objects do not ask the linker for anything that would.
#   no_side_effects.sh NM OBJECT...
# One line per object and symbol that should not be there, and failure if there is any.
#
# Not seen here: an exception that leaves a noexcept function ends the process mostly without a symbol. Not looked
# for, because they are no calls of ours: __cxa_pure_virtual fills the tables of abstract classes; __stack_chk_fail and the like come
# from hardening flags and end a process whose memory is already damaged.
set -euo pipefail
export LC_ALL=C
nm=$1
shift

# Names as nm demangles them, as extended regular expressions.
prints=(
  '(v|f|vf|d|vd)?w?printf' '__(v|f|vf|d|vd)?w?printf_chk' 'f?put(c|s|wc|ws)' 'putw?char' '_IO_putc' fwrite fflush
  stdin stdout stderr perror psignal 'v?syslog' 'p?writev?2?(64)?' 'send(to|msg)?'
  'std::w?(cin|cout|cerr|clog)' 'std::ios_base::Init::.*' 'std::v?print.*'
)
ends=(
  abort '_?exit' _Exit quick_exit raise '(pthread_)?kill' '__assert(_fail|_perror_fail)?' '_*(sig)?longjmp(_chk)?'
  'exec[vlpe]+' 'std::(terminate|unexpected|__glibcxx_assert_fail)\(.*'
)
files=(
  'f(d|re)?open(64)?' 'open(at)?(64)?' '__open(at)?(64)?_2' 'creat(64)?' 'mk[a-z]*temp[a-z0-9]*' 'tmpfile(64)?'
  'rename(at2?)?' 'unlink(at)?' remove 'mkdir(at)?' rmdir opendir 'truncate(64)?' fsync 'mmap(64)?' dlopen socket
  system popen fork 'posix_spawnp?' 'std::.*basic_(filebuf|[io]?fstream).*' 'std::filesystem::.*'
)
# Streams too: in a plugin with a C++ library of its own they crash where they write a number.
locales=(
  'std::(locale|[io]stream|basic_[io]stream|use_facet).*' 'std::.*basic_[io]?stringstream.*' setlocale localeconv
)
any_of() { local IFS='|'; echo "$*"; }

# Object and symbol that may come together, with the reason.
allowed() {
  case "$1 $2" in
    # The destructor of std::thread, for a thread that runs still; ThreadPool::stop joins every one.
    */gradstab_backends.dir/cpu/executor.cpp.o' std::terminate()') ;;
    # GCC's own call, where keeping a message could throw out of a noexcept function; the message that is kept
    # when memory is out is short enough to need none.
    */gradstab_c.dir/errors.cpp.o' std::terminate()') ;;
    # The same for the message of a method of somebody else's that fails in a decision.
    */gradstab_core.dir/methods/norm_method.cpp.o' std::terminate()') ;;
    # Saves and loads state by file name, and writes recordings, which is all it is for.
    */gradstab_files.dir/*.cpp.o' '*) grep -qxE "$(any_of write "${files[@]}")" <<<"$2" ;;
    # Looks for the CUDA driver, which is a library that may be missing.
    */gradstab_backends.dir/cuda/driver.cpp.o' dlopen') ;;
    # Clang calls it where an exception would leave a noexcept function.
    *' std::terminate()') [[ $("$nm" "$1") == *' __clang_call_terminate'* ]] ;;
    *) return 1 ;;
  esac
}

forbidden=$(any_of "${prints[@]}" "${ends[@]}" "${files[@]}" "${locales[@]}")
found=0
for object in "$@"; do
  object=${object//\/.\//\/}  # as CMake may spell a path
  undefined=$("$nm" -uC "$object" | sed -E 's/^ *[Uw] //')
  while IFS= read -r symbol; do
    allowed "$object" "$symbol" && continue
    echo "${object##*/} calls $symbol"
    found=1
  done < <(grep -xE "$forbidden" <<<"$undefined")
done
((found == 0)) || exit 1
echo "$# objects, nothing that prints, ends the process, opens files or asks for a locale"
