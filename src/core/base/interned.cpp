#include "core/base/interned.hpp"

#include <functional>
#include <mutex>
#include <set>
#include <string>

namespace gradstab {

std::string_view interned(std::string_view text) {
  // Never destroyed, because views may outlive whatever is destroyed at exit.
  static std::mutex& mutex = *new std::mutex;
  static auto& texts = *new std::set<std::string, std::less<>>;
  const std::lock_guard lock(mutex);
  const auto found = texts.find(text);
  return found != texts.end() ? *found : *texts.emplace(text).first;
}

}  // namespace gradstab
