#include "lab/watch/request_check.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>

namespace gradstab::lab::watch {
namespace {

constexpr std::array<std::string_view, 3> kNames = {"localhost", "127.0.0.1", "[::1]"};
constexpr int kDefaultPort = 80;  // of http, which a browser leaves out

std::string lower_case(std::string_view text) {
  std::string lower(text);
  for (char& letter : lower)
    if (letter >= 'A' && letter <= 'Z') letter = static_cast<char>(letter - 'A' + 'a');
  return lower;
}

bool is_ours(std::string_view host, int port) {
  const std::string lower = lower_case(host);
  return std::ranges::any_of(kNames, [&](std::string_view name) {
    return lower == fmt::format("{}:{}", name, port) || (port == kDefaultPort && lower == name);
  });
}

}  // namespace

Refusal check_request(const RequestFacts& request, int port) {
  if (request.hosts.size() != 1) return {400, "a request has one Host"};
  if (!is_ours(request.hosts.front(), port)) return {403, "this Host is not served here"};
  constexpr std::string_view kScheme = "http://";
  for (const std::string& origin : request.origins) {
    const std::string lower = lower_case(origin);
    if (!lower.starts_with(kScheme) || !is_ours(std::string_view(lower).substr(kScheme.size()), port))
      return {403, "pages of other origins are not answered"};
  }
  if (request.method != "GET" && request.method != "HEAD") return {405, "only GET and HEAD are answered"};
  return {};
}

}  // namespace gradstab::lab::watch
