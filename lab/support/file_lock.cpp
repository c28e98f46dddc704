#include "lab/support/file_lock.hpp"

#include <fcntl.h>

#include <cerrno>

namespace gradstab::lab {

namespace {

struct flock lock_of_whole_file() {
  struct flock whole_file {};
  whole_file.l_type = F_WRLCK;
  whole_file.l_whence = SEEK_SET;
  return whole_file;
}

bool has_no_locks(int error) {
  // ENOLCK: NFS without its lock service.
  return error == ENOLCK || error == ENOSYS || error == EOPNOTSUPP || error == EINVAL;
}

}  // namespace

LockOutcome try_lock(int descriptor) noexcept {
  struct flock whole_file = lock_of_whole_file();
  int outcome;
  do {
    outcome = ::fcntl(descriptor, F_OFD_SETLK, &whole_file);
  } while (outcome != 0 && errno == EINTR);
  if (outcome == 0) return LockOutcome::taken;
  if (errno == EAGAIN || errno == EACCES) return LockOutcome::busy;
  return has_no_locks(errno) ? LockOutcome::unsupported : LockOutcome::failed;
}

LockQuery query_lock(int descriptor) noexcept {
  struct flock whole_file = lock_of_whole_file();
  if (::fcntl(descriptor, F_OFD_GETLK, &whole_file) == 0)
    return whole_file.l_type == F_UNLCK ? LockQuery::free : LockQuery::held;
  return has_no_locks(errno) ? LockQuery::unsupported : LockQuery::failed;
}

}  // namespace gradstab::lab
