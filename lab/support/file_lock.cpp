#include "lab/support/file_lock.hpp"

#include <fcntl.h>

#include <cerrno>

namespace gradstab::lab {

LockOutcome try_lock(int descriptor) noexcept {
  struct flock whole_file {};
  whole_file.l_type = F_WRLCK;
  whole_file.l_whence = SEEK_SET;
  int outcome;
  do {
    outcome = ::fcntl(descriptor, F_OFD_SETLK, &whole_file);
  } while (outcome != 0 && errno == EINTR);
  if (outcome == 0) return LockOutcome::taken;
  switch (errno) {
    case EAGAIN:
    case EACCES:
      return LockOutcome::busy;
    case ENOLCK:  // NFS without its lock service
    case ENOSYS:
    case EOPNOTSUPP:
    case EINVAL:
      return LockOutcome::unsupported;
    default:
      return LockOutcome::failed;
  }
}

}  // namespace gradstab::lab
