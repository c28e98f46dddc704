#include "recording_file.hpp"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <utility>
#include <vector>

#include "text.hpp"

namespace gradstab::files {
namespace {

/// Keeps what a recorder that goes on has to know.
class Last final : public RecordingSink {
 public:
  explicit Last(FoundRecording& found) : found_(found) {}
  void header(const RecordingHeader& header) override { found_.header = header; }
  bool step(const RecordedStep& step) override {
    found_.last_step = step.step;
    return true;
  }

 private:
  FoundRecording& found_;
};

}  // namespace

RecordingFile::RecordingFile(std::string path, Descriptor file)
    : path_(std::move(path)), file_(std::move(file)), process_(::getpid()) {}

Result<RecordingFile> RecordingFile::open(std::string path, FoundRecording& found) {
  const auto not_a_file = [&] {
    return error(StatusCode::io_error, "'", path, "' is no regular file, expected one or none at all");
  };
  struct stat there {};
  if (::stat(path.c_str(), &there) == 0 && !S_ISREG(there.st_mode)) return not_a_file();
  Descriptor file(::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0666));
  if (!file.valid()) return io_error("open", path, errno);
  if (::fstat(file.number(), &there) != 0) return io_error("open", path, errno);
  if (!S_ISREG(there.st_mode)) return not_a_file();
  // Where the file system has no locks, nobody is told.
  if (::flock(file.number(), LOCK_EX | LOCK_NB) != 0 && errno == EWOULDBLOCK)
    return error(StatusCode::io_error, "'", path, "' is being written by another recorder");
  RecordingFile opened(std::move(path), std::move(file));
  GRADSTAB_RETURN_IF_ERROR(opened.take_over(found));
  return opened;
}

Status RecordingFile::take_over(FoundRecording& found) {
  Last last(found);
  RecordingReader reader;
  std::vector<std::byte> piece(std::size_t{1} << 20);
  for (;;) {
    const std::ptrdiff_t count = read_some(file_.number(), piece);
    if (count < 0) return io_error("read", path_, errno);
    const auto more = reader.feed(std::span(piece).first(static_cast<std::size_t>(count)), last);
    if (!more) {
      return error(more.status().code(), "'", path_, "' ", more.status().message(),
                   "; name another file to record to");
    }
    if (static_cast<std::size_t>(count) < piece.size()) break;
  }
  size_ = static_cast<off_t>(reader.whole_bytes());
  if (::ftruncate(file_.number(), size_) != 0 || ::lseek(file_.number(), size_, SEEK_SET) != size_)
    return io_error("write", path_, errno);
  if (size_ > 0) return {};
  std::vector<std::byte> start;
  RecordingEncoder::start(start);
  return append(start);
}

Status RecordingFile::append(std::span<const std::byte> bytes) {
  if (!is_open())
    return error(StatusCode::failed_precondition, "the recording '", path_, "' has been closed");
  if (::getpid() != process_) {
    return error(StatusCode::failed_precondition, "the recording '", path_,
                 "' belongs to the process that this one was forked from");
  }
  if (!write_all(file_.number(), bytes)) {
    const int reason = errno;
    // Were this to fail too, the next opening would cut the piece off.
    if (::ftruncate(file_.number(), size_) == 0) ::lseek(file_.number(), size_, SEEK_SET);
    return io_error("write", path_, reason);
  }
  size_ += static_cast<off_t>(bytes.size());
  return {};
}

Status RecordingFile::close() {
  if (!is_open()) return {};
  // A child closes what it has inherited, and waits for nothing.
  const bool synced = ::getpid() != process_ || ::fsync(file_.number()) == 0;
  const int reason = errno;
  const bool closed = file_.close();
  if (!synced) return io_error("write", path_, reason);
  if (!closed) return io_error("write", path_, errno);
  return {};
}

}  // namespace gradstab::files
