#include "lab/watch/server.hpp"

#include <fmt/format.h>
#include <httplib.h>
#include <sys/socket.h>

#include <atomic>
#include <cerrno>
#include <chrono>
#include <condition_variable>
#include <mutex>
#include <thread>
#include <utility>

#include "lab/support/files.hpp"
#include "lab/watch/request_check.hpp"

namespace gradstab::lab::watch {
namespace {

using nlohmann::json;
using std::chrono::milliseconds;
using std::chrono::seconds;

constexpr const char* kHost = "127.0.0.1";
constexpr int kMostPort = 65535;

/// Beside the streams: for pages, and for connections that say nothing until their time is over.
constexpr std::size_t kMoreThreads = 8;
/// For all that a client takes its time for.
constexpr auto kPatience = seconds(2);

constexpr auto kShortestPause = seconds(1);
/// Of the time, at most one part in so many is spent with making messages.
constexpr int kMessagePatience = 20;
/// After so long without a message an empty one shows whether the reader is still there.
constexpr auto kSilence = seconds(10);

/// Ends all streams at the same time.
class EndSignal {
 public:
  void give() {
    {
      const std::lock_guard lock(mutex_);
      given_ = true;
    }
    condition_.notify_all();
  }
  /// Whether it was given within that time.
  template <class Duration>
  bool wait_for(Duration duration) {
    std::unique_lock lock(mutex_);
    return condition_.wait_for(lock, duration, [this] { return given_; });
  }

 private:
  std::mutex mutex_;
  std::condition_variable condition_;
  bool given_ = false;
};

std::vector<std::string> values_of(const httplib::Request& request, const std::string& header) {
  std::vector<std::string> values;
  const auto [begin, end] = request.headers.equal_range(header);
  for (auto value = begin; value != end; ++value) values.push_back(value->second);
  return values;
}

void answer_in_words(httplib::Response& response, int status, std::string_view words) {
  response.status = status;
  response.set_content(fmt::format("{} {}\n", status, words), "text/plain; charset=utf-8");
}

/// Nothing where the query is none that the page makes.
std::optional<Choice> choice_of(const httplib::Request& request) {
  if (request.params.empty()) return Choice{};
  if (request.params.size() > 1) return std::nullopt;
  const auto& [key, value] = *request.params.begin();
  return read_choice(key, value);
}

/// One page that is open: makes its messages.
class Stream {
 public:
  Stream(Watch& watch, Choice choice, EndSignal& end) : watch_(watch), view_(std::move(choice)), end_(end) {}

  /// Writes the next message, or waits a while for one. False: it has ended.
  bool go_on(const std::function<bool(const std::string&)>& write) {
    if (end_.wait_for(pause_)) return false;
    const auto begin = Clock::now();
    auto message = watch_.message(view_);
    if (!message) {
      pause_ = kShortestPause;
      if (begin < last_ + kSilence) return true;
      last_ = begin;
      return write(":\n\n");
    }
    (*message)["now"] =
        std::chrono::duration_cast<milliseconds>(std::chrono::system_clock::now().time_since_epoch()).count();
    const std::string text =
        "data: " + message->dump(-1, ' ', false, json::error_handler_t::replace) + "\n\n";
    last_ = Clock::now();
    pause_ = std::max<Clock::duration>(kShortestPause, kMessagePatience * (last_ - begin));
    return write(text);
  }

 private:
  Watch& watch_;
  View view_;
  EndSignal& end_;
  Clock::duration pause_{};
  Clock::time_point last_ = Clock::now();
};

}  // namespace

struct Server::Inside {
  explicit Inside(Watch& followed) : watch(followed) {}

  void answer(const httplib::Request& request, httplib::Response& response);
  void answer_with_stream(Choice choice, httplib::Response& response);

  Watch& watch;
  int port = 0;
  httplib::Server http;
  std::thread listener;
  EndSignal end;
  std::atomic<int> streams = 0;
};

void Server::Inside::answer(const httplib::Request& request, httplib::Response& response) {
  const RequestFacts facts{request.method, values_of(request, "Host"), values_of(request, "Origin")};
  if (const Refusal refusal = check_request(facts, port); refusal.status != 0)
    return answer_in_words(response, refusal.status, refusal.reason);
  const bool page = request.path == "/";
  if (!page && request.path != "/events")
    return answer_in_words(response, 404, "there is nothing of that name");
  auto choice = choice_of(request);
  if (!choice || !watch.has(*choice)) return answer_in_words(response, 404, "no run or log has that number");
  if (page) {
    response.set_content(watch.page(*std::move(choice)), "text/html; charset=utf-8");
  } else if (request.method == "HEAD") {
    response.set_content("", "text/event-stream");
  } else {
    answer_with_stream(*std::move(choice), response);
  }
}

void Server::Inside::answer_with_stream(Choice choice, httplib::Response& response) {
  if (streams.fetch_add(1) >= kMostStreams) {
    --streams;
    response.set_header("Retry-After", "5");
    return answer_in_words(response, 503, "too many pages are open");
  }
  const auto stream = std::make_shared<Stream>(watch, std::move(choice), end);
  response.set_chunked_content_provider(
      "text/event-stream",
      [stream](std::size_t, httplib::DataSink& sink) {
        return stream->go_on([&](const std::string& text) { return sink.write(text.data(), text.size()); });
      },
      [this](bool) { --streams; });
}

Result<std::unique_ptr<Server>> Server::start(Watch& watch, int port) {
  if (port < 0 || port > kMostPort)
    return Status(StatusCode::invalid_argument,
                  fmt::format("a port is between 0 and {}, got {}", kMostPort, port));
  auto inside = std::make_unique<Inside>(watch);
  httplib::Server& http = inside->http;
  http.set_default_headers({{"Content-Security-Policy",
                             content_security_policy(LoadsFrom::its_server) + "; frame-ancestors 'none'"},
                            {"X-Content-Type-Options", "nosniff"},
                            {"X-Frame-Options", "DENY"},
                            {"Cross-Origin-Resource-Policy", "same-origin"},
                            {"Referrer-Policy", "no-referrer"},
                            {"Cache-Control", "no-store"}});
  // Every request is answered here, so that the library's own routes, files among them, are never looked at.
  http.set_pre_routing_handler(
      [raw = inside.get()](const httplib::Request& request, httplib::Response& response) {
        raw->answer(request, response);
        return httplib::Server::HandlerResponse::Handled;
      });
  // The library would also let another process listen on the same port.
  http.set_socket_options([](auto socket) {
    const int yes = 1;
    ::setsockopt(socket, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof yes);
  });
  http.new_task_queue = [] {
    return new httplib::ThreadPool(kMostStreams + kMoreThreads);
  };                                 // the library deletes it
  http.set_keep_alive_max_count(1);  // a thread is free again after each answer
  http.set_keep_alive_timeout(kPatience.count());
  http.set_read_timeout(kPatience);
  http.set_write_timeout(kPatience);
  http.set_payload_max_length(0);
  http.set_tcp_nodelay(true);
  errno = 0;
  inside->port = port == 0 ? http.bind_to_any_port(kHost) : http.bind_to_port(kHost, port) ? port : -1;
  if (inside->port <= 0) {
    return Status(StatusCode::io_error,
                  fmt::format("cannot listen on port {} of {}: {}", port, kHost,
                              errno == 0 ? "the system does not say why" : system_error_text(errno)));
  }
  inside->listener = std::thread([raw = inside.get()] { raw->http.listen_after_bind(); });
  // Before it runs it cannot be stopped.
  while (!http.is_running()) std::this_thread::sleep_for(milliseconds(1));
  return std::unique_ptr<Server>(new Server(std::move(inside)));
}

Server::Server(std::unique_ptr<Inside> inside) : inside_(std::move(inside)) {}

int Server::port() const noexcept {
  return inside_->port;
}

void Server::stop() {
  inside_->end.give();
  inside_->http.stop();
}

Server::~Server() {
  stop();
  inside_->listener.join();
}

}  // namespace gradstab::lab::watch
