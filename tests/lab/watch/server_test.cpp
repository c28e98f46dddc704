// The server as strangers speak to it: bytes over a socket. Built with -fsanitize=thread it also shows that
// many readers and the end of the server are no race.
#include "lab/watch/server.hpp"

#include <arpa/inet.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <chrono>
#include <string>
#include <thread>
#include <vector>

#include "lab/support/descriptor.hpp"
#include "run_folder.hpp"
#include "tests/lab/run/test_runs.hpp"

namespace gradstab::lab::watch {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;
using ::testing::AllOf;
using ::testing::AnyOf;
using ::testing::HasSubstr;
using ::testing::Not;
using ::testing::StartsWith;
using testing::TemporaryDirectory;

/// A connection that gives up after ten seconds of silence.
class Connection {
 public:
  explicit Connection(int port) : socket_(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
    const timeval patience{.tv_sec = 10, .tv_usec = 0};
    ::setsockopt(socket_.number(), SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_port = htons(static_cast<std::uint16_t>(port));
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    connected_ =
        ::connect(socket_.number(), reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0;
  }
  bool connected() const { return connected_; }
  /// False where the other side has gone.
  bool say(std::string_view bytes) {
    while (!bytes.empty()) {
      const ssize_t sent = ::send(socket_.number(), bytes.data(), bytes.size(), MSG_NOSIGNAL);
      if (sent <= 0) return false;
      bytes.remove_prefix(static_cast<std::size_t>(sent));
    }
    return true;
  }
  /// What comes until the end, or until `enough` is in it.
  std::string hear(std::string_view enough = {}) {
    std::string text;
    std::array<char, 4096> buffer;
    while (enough.empty() || text.find(enough) == std::string::npos) {
      const ssize_t count = ::recv(socket_.number(), buffer.data(), buffer.size(), 0);
      if (count <= 0) break;
      text.append(buffer.data(), static_cast<std::size_t>(count));
    }
    return text;
  }

 private:
  Descriptor socket_;
  bool connected_ = false;
};

class ServerTest : public ::testing::Test {
 protected:
  void SetUp() override {
    ::alarm(120);  // better a test that fails than one that waits
    run_.train(1, 20);
    server_ = Server::start(*watch_, 0).value();
  }
  void TearDown() override { ::alarm(0); }

  std::string host() const { return "127.0.0.1:" + std::to_string(server_->port()); }
  std::string answer_to(const std::string& bytes) const {
    Connection connection(server_->port());
    connection.say(bytes);
    return connection.hear();
  }
  std::string get(const std::string& target, const std::string& headers = {}) const {
    return answer_to("GET " + target + " HTTP/1.1\r\nHost: " + host() + "\r\n" + headers + "\r\n");
  }
  void expect_alive() const { EXPECT_THAT(get("/"), StartsWith("HTTP/1.1 200 OK\r\n")); }

  TemporaryDirectory folder_;
  RunFolder run_{folder_.path() / "first", "first", 100};
  std::unique_ptr<Watch> watch_ =
      Watch::open(folder_.path(), Pace{.look = milliseconds(50), .search = milliseconds(50)}).value();
  std::unique_ptr<Server> server_;
};

constexpr const char* kOk = "HTTP/1.1 200 OK\r\n";
constexpr const char* kNotFound = "HTTP/1.1 404 ";
constexpr const char* kForbidden = "HTTP/1.1 403 ";

TEST_F(ServerTest, EveryAnswerTellsTheBrowserToBeCareful) {
  const auto careful = AllOf(
      HasSubstr("Content-Security-Policy: default-src 'none'; style-src 'unsafe-inline'; script-src "
                "'unsafe-inline'; img-src data:; "
                "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'\r\n"),
      HasSubstr("X-Content-Type-Options: nosniff\r\n"), HasSubstr("Referrer-Policy: no-referrer\r\n"),
      HasSubstr("Cache-Control: no-store\r\n"), HasSubstr("Cross-Origin-Resource-Policy: same-origin\r\n"));
  EXPECT_THAT(get("/"), AllOf(StartsWith(kOk), careful, HasSubstr("Content-Type: text/html"),
                              HasSubstr("Followed in")));
  EXPECT_THAT(get("/?show=0"), AllOf(StartsWith(kOk), careful));
  EXPECT_THAT(get("/nothing"), AllOf(StartsWith(kNotFound), careful));
  EXPECT_THAT(get("/", "Origin: http://evil.example\r\n"), AllOf(StartsWith(kForbidden), careful));
}

TEST_F(ServerTest, ForeignNamesOfThisMachineAreRefused) {
  const std::string port = std::to_string(server_->port());
  for (const std::string& name : {"evil.example:" + port, "127.0.0.1:" + std::to_string(server_->port() + 1),
                                  std::string("127.0.0.1"), std::string()})
    EXPECT_THAT(answer_to("GET / HTTP/1.1\r\nHost: " + name + "\r\n\r\n"),
                AllOf(AnyOf(StartsWith(kForbidden), StartsWith("HTTP/1.1 400 ")), Not(HasSubstr("first"))))
        << name;
  EXPECT_THAT(answer_to("GET / HTTP/1.1\r\nHost: localhost:" + port + "\r\n\r\n"), StartsWith(kOk));
  EXPECT_THAT(answer_to("GET / HTTP/1.1\r\n\r\n"), StartsWith("HTTP/1.1 400 "));
  EXPECT_THAT(answer_to("GET / HTTP/1.1\r\nHost: " + host() + "\r\nHost: evil.example\r\n\r\n"),
              StartsWith("HTTP/1.1 400 "));
  // A whole address in the first line does not replace the header.
  EXPECT_THAT(answer_to("GET http://" + host() + "/ HTTP/1.1\r\nHost: evil.example\r\n\r\n"),
              Not(HasSubstr("Followed in")));
}

TEST_F(ServerTest, PagesOfOthersAreNotAnswered) {
  for (const char* origin : {"http://evil.example", "null", "https://127.0.0.1", "http://127.0.0.1"}) {
    EXPECT_THAT(get("/", fmt::format("Origin: {}\r\n", origin)),
                AllOf(StartsWith(kForbidden), Not(HasSubstr("first"))))
        << origin;
    EXPECT_THAT(get("/events?like=0", fmt::format("Origin: {}\r\n", origin)),
                AllOf(StartsWith(kForbidden), Not(HasSubstr("first"))))
        << origin;
  }
  EXPECT_THAT(get("/", "Origin: http://" + host() + "\r\n"), StartsWith(kOk));
}

TEST_F(ServerTest, OnlyReading) {
  for (const char* method : {"POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
    EXPECT_THAT(
        answer_to(fmt::format("{} / HTTP/1.1\r\nHost: {}\r\nContent-Length: 2\r\n\r\nhi", method, host())),
        AnyOf(StartsWith("HTTP/1.1 405 "), StartsWith("HTTP/1.1 400 ")))
        << method;
  const std::string head = answer_to("HEAD / HTTP/1.1\r\nHost: " + host() + "\r\n\r\n");
  EXPECT_THAT(head, StartsWith(kOk));
  EXPECT_EQ(head.find("\r\n\r\n"), head.size() - 4);
  EXPECT_THAT(answer_to("HEAD /events?like=0 HTTP/1.1\r\nHost: " + host() + "\r\n\r\n"),
              AllOf(StartsWith(kOk), Not(HasSubstr("data: {"))));
  expect_alive();
}

TEST_F(ServerTest, NoPathIsAFile) {
  for (const char* target : {"/../../../../etc/passwd",
                             "/%2e%2e/%2e%2e/%2e%2e/etc/passwd",
                             "//etc/passwd",
                             "/..%2f..%2fetc%2fpasswd",
                             "/etc/passwd",
                             "/first/run.json",
                             "/run.json",
                             "/.",
                             "/./",
                             "/events/",
                             "/events/../..",
                             "/%00",
                             "/\\..\\..\\etc\\passwd",
                             "/first",
                             "/?show=../first",
                             "/?show=0&show=1",
                             "/?show=",
                             "/?show=1",
                             "/?show=99999999999999999999",
                             "/?file=/etc/passwd",
                             "/?show=-1",
                             "/events?show=5",
                             "/favicon.ico",
                             "*",
                             "first/run.json",
                             "/%c0%ae%c0%ae/etc/passwd",
                             "/%",
                             "/%zz",
                             "/?%",
                             "/;/../etc/passwd"}) {
    EXPECT_THAT(get(target), AllOf(AnyOf(StartsWith(kNotFound), StartsWith("HTTP/1.1 400 ")),
                                   Not(HasSubstr("root:")), Not(HasSubstr("measures"))))
        << target;
  }
  EXPECT_THAT(answer_to(std::string("GET /\0/etc/passwd HTTP/1.1\r\nHost: ", 38) + host() + "\r\n\r\n"),
              AllOf(Not(HasSubstr("root:")), Not(StartsWith(kOk))));
  expect_alive();
}

TEST_F(ServerTest, WhatIsTooLongOrNoRequestAtAll) {
  EXPECT_THAT(get("/" + std::string(100'000, 'a')),
              AnyOf(StartsWith("HTTP/1.1 414 "), StartsWith("HTTP/1.1 400 "), ::testing::IsEmpty()));
  EXPECT_THAT(get("/?show=" + std::string(5'000, '0')), AnyOf(StartsWith(kOk), StartsWith(kNotFound)));
  std::string many;
  for (int i = 0; i < 10'000; ++i) many += fmt::format("X-Header-{}: {}\r\n", i, i);
  get("/", many);
  get("/", "X-Long: " + std::string(1'000'000, 'b') + "\r\n");
  for (const char* bytes :
       {"\r\n\r\n", "GET\r\n\r\n", "GET / HTTP/9.9\r\n\r\n", "\x16\x03\x01\x02",
        "GET / HTTP/1.1\r\nHost\r\n\r\n",
        "POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nffffffffffffffff\r\n",
        "GET / HTTP/1.1\r\nContent-Length: 99999999999999999999\r\n\r\n", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"})
    EXPECT_THAT(answer_to(bytes), Not(HasSubstr("first"))) << bytes;
  for (const char* range : {"bytes=0-0", "bytes=5-1", "bytes=-1", "bytes=99999999999-", "bytes=0-0,1-1,2-2",
                            "bytes=-99999999999999999999", "bytes=abc", "bytes=18446744073709551615-"}) {
    get("/", fmt::format("Range: {}\r\n", range));
    get("/nothing", fmt::format("Range: {}\r\n", range));
  }
  expect_alive();
}

TEST_F(ServerTest, AStreamTellsWhatIsWritten) {
  Connection connection(server_->port());
  connection.say("GET /events?like=0 HTTP/1.1\r\nHost: " + host() + "\r\n\r\n");
  const std::string first = connection.hear("\n\n");
  EXPECT_THAT(first, AllOf(StartsWith(kOk), HasSubstr("Content-Type: text/event-stream\r\n"),
                           HasSubstr("data: {"), HasSubstr("20 of 100")));
  run_.train(21, 33);
  const std::string second = connection.hear("33 of 100");
  EXPECT_THAT(second, AllOf(HasSubstr("data: {"), HasSubstr("33 of 100"), Not(HasSubstr("20 of 100"))));
}

TEST_F(ServerTest, ManyReadersAtATime) {
  std::vector<std::unique_ptr<Connection>> streams;
  for (int i = 0; i < kMostStreams; ++i) {
    streams.push_back(std::make_unique<Connection>(server_->port()));
    streams.back()->say("GET /events?show=0 HTTP/1.1\r\nHost: " + host() + "\r\n\r\n");
  }
  for (const auto& stream : streams) EXPECT_THAT(stream->hear("\n\n"), HasSubstr("20 of 100"));
  EXPECT_THAT(get("/events?show=0"), AllOf(StartsWith("HTTP/1.1 503 "), HasSubstr("Retry-After: 5\r\n")));
  // Pages are still answered, also many of them at the same time.
  std::vector<std::thread> readers;
  for (int i = 0; i < 8; ++i)
    readers.emplace_back([this] {
      for (int j = 0; j < 3; ++j) expect_alive();
    });
  for (int step = 21; step <= 40; ++step) run_.train(step, step);
  for (std::thread& reader : readers) reader.join();
  for (const auto& stream : streams) EXPECT_THAT(stream->hear("40 of 100"), HasSubstr("40 of 100"));
  streams.clear();
  // The places of those that have gone are free again after a while.
  run_.train(41, 41);
  bool free = false;
  for (int i = 0; i < 300 && !free; ++i) {
    Connection connection(server_->port());
    connection.say("GET /events?show=0 HTTP/1.1\r\nHost: " + host() + "\r\n\r\n");
    free = connection.hear("\r\n").starts_with(kOk);
    std::this_thread::sleep_for(milliseconds(50));
  }
  EXPECT_TRUE(free);
}

TEST_F(ServerTest, WhoSaysNothingIsNotWaitedForLong) {
  // More of them than there are threads.
  std::vector<std::unique_ptr<Connection>> silent;
  for (int i = 0; i < 60; ++i) {
    silent.push_back(std::make_unique<Connection>(server_->port()));
    if (i % 2 == 0) silent.back()->say("GET / HT");
  }
  const auto begin = Clock::now();
  expect_alive();
  EXPECT_LT(Clock::now() - begin, seconds(20));
}

TEST_F(ServerTest, StopsAtOnceWithOpenStreams) {
  std::vector<std::unique_ptr<Connection>> streams;
  for (int i = 0; i < 5; ++i) {
    streams.push_back(std::make_unique<Connection>(server_->port()));
    streams.back()->say("GET /events?like=0 HTTP/1.1\r\nHost: " + host() + "\r\n\r\n");
    streams.back()->hear("\n\n");
  }
  const int port = server_->port();
  const auto begin = Clock::now();
  server_->stop();
  EXPECT_LT(Clock::now() - begin, milliseconds(500));
  for (const auto& stream : streams) stream->hear();  // to its end
  server_.reset();
  EXPECT_LT(Clock::now() - begin, seconds(3));
  EXPECT_FALSE(Connection(port).connected());
}

TEST_F(ServerTest, OnlyTheLoopbackInterface) {
  // 127.0.0.2 is this machine, too, but not the address that is listened on.
  const Descriptor socket(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(static_cast<std::uint16_t>(server_->port()));
  ASSERT_EQ(::inet_pton(AF_INET, "127.0.0.2", &address.sin_addr), 1);
  EXPECT_NE(::connect(socket.number(), reinterpret_cast<const sockaddr*>(&address), sizeof address), 0);
}

TEST_F(ServerTest, APortInUse) {
  const auto second = Server::start(*watch_, server_->port());
  ASSERT_FALSE(second.ok());
  EXPECT_THAT(second.status().message(),
              AllOf(HasSubstr(std::to_string(server_->port())), HasSubstr("Address already in use")));
  for (const int port : {-1, 65536}) {
    const auto none = Server::start(*watch_, port);
    ASSERT_FALSE(none.ok());
    EXPECT_EQ(none.status().code(), StatusCode::invalid_argument);
  }
}

}  // namespace
}  // namespace gradstab::lab::watch
