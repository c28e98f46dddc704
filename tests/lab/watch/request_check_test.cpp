#include "lab/watch/request_check.hpp"

#include <gtest/gtest.h>

namespace gradstab::lab::watch {
namespace {

int status_of(std::vector<std::string> hosts, std::vector<std::string> origins = {},
              std::string method = "GET", int port = 8080) {
  return check_request({std::move(method), std::move(hosts), std::move(origins)}, port).status;
}

TEST(RequestCheckTest, OnlyThisMachinesNamesWithTheRightPort) {
  for (const char* host : {"127.0.0.1:8080", "localhost:8080", "LocalHost:8080", "[::1]:8080"})
    EXPECT_EQ(status_of({host}), 0) << host;
  for (const char* host :
       {"evil.example:8080", "127.0.0.1", "localhost", "127.0.0.1:80", "localhost:8081",
        "127.0.0.1:8080.evil.example", "evil.example", "127.0.0.1:8080 ", " 127.0.0.1:8080",
        "localhost.:8080", "127.0.0.2:8080", "0.0.0.0:8080", "", "::1:8080", "user@localhost:8080"})
    EXPECT_EQ(status_of({host}), 403) << host;
}

TEST(RequestCheckTest, APortThatBrowsersLeaveOut) {
  EXPECT_EQ(status_of({"localhost"}, {"http://localhost"}, "GET", 80), 0);
  EXPECT_EQ(status_of({"localhost:80"}, {}, "GET", 80), 0);
  EXPECT_EQ(status_of({"evil.example"}, {}, "GET", 80), 403);
}

TEST(RequestCheckTest, OneHost) {
  EXPECT_EQ(status_of({}), 400);
  EXPECT_EQ(status_of({"localhost:8080", "localhost:8080"}), 400);
  EXPECT_EQ(status_of({"localhost:8080", "evil.example"}), 400);
}

TEST(RequestCheckTest, OnlyOurOwnOrigin) {
  for (const char* origin :
       {"http://127.0.0.1:8080", "http://localhost:8080", "HTTP://LOCALHOST:8080", "http://[::1]:8080"})
    EXPECT_EQ(status_of({"localhost:8080"}, {origin}), 0) << origin;
  for (const char* origin :
       {"null", "", "http://evil.example", "http://evil.example:8080", "https://localhost:8080",
        "http://localhost", "http://localhost:80", "http://localhost:8080/",
        "http://localhost:8080.evil.example", "file://", "chrome-extension://abc"})
    EXPECT_EQ(status_of({"localhost:8080"}, {origin}), 403) << origin;
  EXPECT_EQ(status_of({"localhost:8080"}, {"http://localhost:8080", "http://evil.example"}), 403);
}

TEST(RequestCheckTest, OnlyReading) {
  EXPECT_EQ(status_of({"localhost:8080"}, {}, "HEAD"), 0);
  for (const char* method :
       {"POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "CONNECT", "PRI", "get", ""})
    EXPECT_EQ(status_of({"localhost:8080"}, {}, method), 405) << method;
}

}  // namespace
}  // namespace gradstab::lab::watch
