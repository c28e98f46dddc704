// gradstab watch as a process: what it prints, how it ends, and what it refuses.
#include <arpa/inet.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include <chrono>
#include <csignal>
#include <regex>

#include "lab/support/descriptor.hpp"
#include "program.hpp"

namespace gradstab::testing_cli {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::MatchesRegex;

/// The first bytes of an answer; the connection stays open.
struct Asked {
  lab::Descriptor socket;
  std::string answer;
};
Asked ask(int port, const std::string& target) {
  Asked asked{lab::Descriptor(::socket(AF_INET, SOCK_STREAM, 0)), {}};
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(static_cast<std::uint16_t>(port));
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  if (::connect(asked.socket.number(), reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0)
    return asked;
  const std::string request =
      "GET " + target + " HTTP/1.1\r\nHost: 127.0.0.1:" + std::to_string(port) + "\r\n\r\n";
  EXPECT_EQ(::send(asked.socket.number(), request.data(), request.size(), MSG_NOSIGNAL),
            static_cast<ssize_t>(request.size()));
  asked.answer.resize(4096);
  const ssize_t count = ::recv(asked.socket.number(), asked.answer.data(), asked.answer.size(), 0);
  asked.answer.resize(static_cast<std::size_t>(std::max<ssize_t>(count, 0)));
  return asked;
}

class WatchVerbTest : public ::testing::Test {
 protected:
  /// The port in the line that it printed.
  int port_of(Child& child) const {
    std::smatch found;
    std::string text;
    const std::regex address("http://127\\.0\\.0\\.1:([0-9]+)/\n");
    EXPECT_TRUE(wait_until([&] {
      text.clear();
      for (const auto& entry : std::filesystem::directory_iterator(folder_.path()))
        if (entry.path().filename().string().starts_with("stdout")) text += read(entry.path());
      return std::regex_search(text, found, address) || !child.running();
    }));
    return found.empty() ? 0 : std::stoi(found[1]);
  }
  Folder folder_;
};

TEST_F(WatchVerbTest, EndsAtOnceWithOpenStreams) {
  for (const int signal : {SIGINT, SIGTERM}) {
    std::filesystem::create_directories(folder_.path() / "runs");
    Child child({"watch", "runs"}, folder_.path());
    const int port = port_of(child);
    ASSERT_GT(port, 0);
    EXPECT_THAT(ask(port, "/").answer, HasSubstr("HTTP/1.1 200 OK"));
    const Asked stream = ask(port, "/events");
    EXPECT_THAT(stream.answer, HasSubstr("text/event-stream"));
    // One that has said nothing yet.
    const lab::Descriptor silent(::socket(AF_INET, SOCK_STREAM, 0));
    const auto begin = std::chrono::steady_clock::now();
    child.signal(signal);
    const Outcome outcome = child.wait();
    EXPECT_LT(std::chrono::steady_clock::now() - begin, std::chrono::seconds(1));
    EXPECT_EQ(outcome.exit_code, 0);
    EXPECT_THAT(outcome.out, MatchesRegex("watching 'runs': http://127.0.0.1:[0-9]+/\n"));
    EXPECT_EQ(outcome.err, "");
    EXPECT_EQ(ask(port, "/").answer, "");
    for (const auto& entry : std::filesystem::directory_iterator(folder_.path()))
      if (entry.path().filename().string().starts_with("std")) std::filesystem::remove(entry.path());
  }
}

TEST_F(WatchVerbTest, RefusesWhatIsNotThere) {
  const Outcome outcome = folder_.run({"watch", "nowhere"});
  EXPECT_EQ(outcome.exit_code, 1);
  EXPECT_EQ(outcome.out, "");
  EXPECT_EQ(outcome.err, "gradstab: 'nowhere' does not exist\n");
  EXPECT_EQ(folder_.run({"watch"}).exit_code, 2);
  EXPECT_EQ(folder_.run({"watch", ""}).exit_code, 2);
  for (const char* port : {"65536", "-1", "http", "8080.0", ""}) {
    const Outcome refused = folder_.run({"watch", ".", "--port", port});
    EXPECT_EQ(refused.exit_code, 2) << port;
    EXPECT_THAT(refused.err, MatchesRegex("gradstab: [^\n]+\n")) << port;
  }
  // There is no other interface than the loopback.
  EXPECT_EQ(folder_.run({"watch", ".", "--host", "0.0.0.0"}).exit_code, 2);
}

TEST_F(WatchVerbTest, APortInUse) {
  Child first({"watch", "."}, folder_.path());
  const int port = port_of(first);
  ASSERT_GT(port, 0);
  const Outcome second = folder_.run({"watch", ".", "--port", std::to_string(port)});
  EXPECT_EQ(second.exit_code, 1);
  EXPECT_EQ(second.out, "");
  EXPECT_EQ(second.err, "gradstab: cannot listen on port " + std::to_string(port) +
                            " of 127.0.0.1: Address already in use\n");
  first.signal(SIGINT);
  EXPECT_EQ(first.wait().exit_code, 0);
  // And the port is free again at once.
  Child third({"watch", ".", "--port", std::to_string(port)}, folder_.path());
  EXPECT_TRUE(wait_until([&] { return !ask(port, "/").answer.empty() || !third.running(); }));
  third.signal(SIGTERM);
  EXPECT_EQ(third.wait().exit_code, 0);
}

}  // namespace
}  // namespace gradstab::testing_cli
