#include "lab/train/processes.hpp"

#include <fmt/format.h>

#include <cstring>
#include <string_view>
#include <utility>

// Debian's LibTorch has Gloo and its headers come in a package of their own; PyTorch's wheels have none.
#if defined(GRADSTAB_GLOO)
#ifndef USE_C10D_GLOO
#define USE_C10D_GLOO
#endif
#include <torch/csrc/distributed/c10d/ProcessGroupGloo.hpp>
#include <torch/csrc/distributed/c10d/TCPStore.hpp>
#endif

namespace gradstab::lab {

#if defined(GRADSTAB_GLOO)

struct Processes::Group {
  c10::intrusive_ptr<c10d::ProcessGroupGloo> gloo;
};

namespace {

/// The first line of what LibTorch or Gloo says, without the place in its sources.
std::string reason(const std::exception& error) {
  std::string_view text = error.what();
  text = text.substr(0, text.find('\n'));
  if (text.starts_with('[')) text.remove_prefix(std::min(text.find("] ") + 2, text.size()));
  return std::string(text);
}

}  // namespace

Result<Processes> Processes::join(const ProcessPlace& place, std::chrono::seconds timeout) {
  Processes processes(place);
  if (processes.alone()) return processes;
  try {
    c10d::TCPStoreOptions options;
    options.port = static_cast<std::uint16_t>(place.port);
    options.isServer = place.is_first();
    options.numWorkers = static_cast<std::size_t>(place.size);
    options.timeout = timeout;
    const auto store = c10::make_intrusive<c10d::TCPStore>(place.address, options);
    const auto gloo = c10d::ProcessGroupGloo::Options::create(timeout);
    gloo->devices.push_back(c10d::ProcessGroupGloo::createDefaultDevice());
    processes.group_ = std::make_unique<Group>(Group{c10::make_intrusive<c10d::ProcessGroupGloo>(
        store, static_cast<int>(place.rank), static_cast<int>(place.size), gloo)});
  } catch (const std::exception& error) {
    return Status(StatusCode::io_error,
                  fmt::format("process {} of {} cannot join the others at {}:{}: {}", place.rank, place.size,
                              place.address, place.port, reason(error)));
  }
  return processes;
}

Status Processes::sum(const at::Tensor& tensor) {
  if (alone()) return {};
  try {
    std::vector<at::Tensor> tensors = {tensor};
    group_->gloo->allreduce(tensors)->wait();
  } catch (const std::exception& error) {
    lost_ = true;
    return {StatusCode::io_error,
            fmt::format("process {} of {} has lost another one: {}", rank(), size(), reason(error))};
  }
  return {};
}

#else

struct Processes::Group {};

Result<Processes> Processes::join(const ProcessPlace& place, std::chrono::seconds) {
  if (place.size == 1) return Processes(place);
  return Status(
      StatusCode::unsupported,
      fmt::format(
          "{} started {} processes, and this program was built without Gloo, which joins them (Debian "
          "package libgloo-dev, and Debian's LibTorch)",
          place.launcher, place.size));
}

Status Processes::sum(const at::Tensor&) {
  return {};
}

#endif

Processes::Processes() = default;
Processes::Processes(ProcessPlace place) : place_(std::move(place)) {}
Processes::~Processes() = default;
Processes::Processes(Processes&&) noexcept = default;
Processes& Processes::operator=(Processes&&) noexcept = default;

Result<std::vector<std::string>> Processes::texts(const std::string& text) {
  if (alone()) return std::vector{text};
  const at::Tensor lengths = torch::zeros({size()}, torch::kLong);
  lengths[rank()] = static_cast<std::int64_t>(text.size());
  GRADSTAB_RETURN_IF_ERROR(sum(lengths));
  const std::int64_t longest = std::max<std::int64_t>(lengths.max().item<std::int64_t>(), 1);
  // Each fills a row of its own, so that the sum has the rows of all.
  const at::Tensor rows = torch::zeros({size(), longest}, torch::kByte);
  const auto row = [&](std::int64_t i) { return static_cast<char*>(rows.data_ptr()) + i * longest; };
  std::memcpy(row(rank()), text.data(), text.size());
  GRADSTAB_RETURN_IF_ERROR(sum(rows));
  std::vector<std::string> all;
  for (std::int64_t i = 0; i < size(); ++i)
    all.emplace_back(row(i), static_cast<std::size_t>(lengths[i].item<std::int64_t>()));
  return all;
}

namespace {

/// "settings: lr is 0.02, expected 0.01; step is 4, expected 5": objects within are compared key by key.
std::string what_differs(const Json& found, const Json& expected) {
  std::string text;
  for (const auto& [key, value] : expected.items()) {
    const Json other = found.value(key, Json());
    if (other == value) continue;
    if (!text.empty()) text += "; ";
    text += value.is_object() && other.is_object()
                ? fmt::format("{}: {}", key, differences(other, value))
                : fmt::format("{} is {}, expected {}", key, shown(other), shown(value));
  }
  return text;
}

}  // namespace

Status Processes::alike(const Json& object) {
  const auto all = texts(object.dump());
  if (!all) return all.status();
  for (std::size_t i = 1; i < all->size(); ++i) {
    if ((*all)[i] == all->front()) continue;
    const auto expected = parse_json_object(all->front(), ""), found = parse_json_object((*all)[i], "");
    if (!expected) return expected.status();
    if (!found) return found.status();
    return {StatusCode::failed_precondition,
            fmt::format("process {} of {} trains something else than the first one: {}", i, size(),
                        what_differs(*found, *expected))};
  }
  return {};
}

Status Processes::agreed(const Status& status) {
  if (alone()) return status;
  // The code as a letter, then the message; an empty text where all is well.
  const auto all =
      texts(status.ok() ? std::string()
                        : std::string(1, static_cast<char>('a' + static_cast<int>(status.code()))) +
                              status.message());
  if (!all) return all.status();
  for (const std::string& one : *all)
    if (!one.empty()) return {static_cast<StatusCode>(one.front() - 'a'), one.substr(1)};
  return {};
}

}  // namespace gradstab::lab
