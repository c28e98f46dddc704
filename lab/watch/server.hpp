// The page of a watch over HTTP, on this machine's loopback interface and nowhere else.
#pragma once

#include <memory>

#include "gradstab/status.hpp"
#include "lab/watch/watch.hpp"

namespace gradstab::lab::watch {

/// Pages that may be open at a time; more are told to wait.
inline constexpr int kMostStreams = 32;

/// Answers `/` with the page and `/events` with what changes, as server-sent events. Nothing in a request is
/// ever the name of a file: runs are told by their numbers in the list.
class Server {
 public:
  /// Listens on 127.0.0.1; port 0 is any that is free. `watch` must outlive it. Errors: invalid_argument for
  /// a number that is no port; io_error with the system's reason, such as a port that is in use.
  static Result<std::unique_ptr<Server>> start(Watch& watch, int port);

  int port() const noexcept;

  /// Takes no more requests, and ends the open streams. Returns at once.
  void stop();

  /// Stops, and waits for the requests that are being answered: two seconds at most.
  ~Server();
  Server(const Server&) = delete;
  Server& operator=(const Server&) = delete;

 private:
  struct Inside;
  explicit Server(std::unique_ptr<Inside> inside);
  std::unique_ptr<Inside> inside_;
};

}  // namespace gradstab::lab::watch
