// What a transform remembers, parameter by parameter, for checkpoints that keep it so.
#include <algorithm>
#include <map>
#include <utility>

#include "core/base/errors_as_values.hpp"
#include "core/base/text.hpp"
#include "core/transform/transform_impl.hpp"

namespace gradstab {
namespace {

constexpr std::string_view kUpdates = "updates";

Status misfit(std::string message) {
  return {StatusCode::shape_mismatch, std::move(message)};
}

/// "0.stabilize."
std::string prefix_of(std::size_t position, const ChainLink& link) {
  return detail::concat(position, ".", link.name(), ".");
}

std::string settings_name(const std::string& prefix) {
  return prefix + "settings";
}

/// The checksum of a method's name and settings, which a double holds exactly.
double checksum_of(const ChainLink& link) {
  SettingsWriter settings;
  link.save_settings(settings);
  ByteWriter writer;
  writer.put(link.name());
  save_settings(writer, settings);
  return crc32(writer.bytes());
}

/// By name; a method that works per row has several numbers of the same one, which belong together.
class GivenStatistics {
 public:
  explicit GivenStatistics(std::span<const ParameterStatistic> given) {
    for (const ParameterStatistic& statistic : given) by_name_.emplace(statistic.name, Given{&statistic, 0});
  }

  /// The next value of that name, or null.
  const double* next(const std::string& name) {
    const auto found = by_name_.find(name);
    if (found == by_name_.end() || found->second.taken >= found->second.statistic->values.size())
      return nullptr;
    return &found->second.statistic->values[found->second.taken++];
  }

  std::size_t count(const std::string& name) const {
    const auto found = by_name_.find(name);
    return found == by_name_.end() ? 0 : found->second.statistic->values.size();
  }

  /// One that has a value to which nobody has come, or null.
  const ParameterStatistic* left_over() const {
    for (const auto& [name, given] : by_name_) {
      if (given.taken < given.statistic->values.size()) return given.statistic;
    }
    return nullptr;
  }

 private:
  struct Given {
    const ParameterStatistic* statistic;
    std::size_t taken;
  };
  std::map<std::string_view, Given> by_name_;
};

}  // namespace

std::vector<ParameterStatistic> GradientTransform::Impl::statistics(std::size_t index) const {
  std::vector<ParameterStatistic> result = {{std::string(kUpdates), {static_cast<double>(updates)}}};
  for (std::size_t i = 0; i < links.size(); ++i) {
    const std::string prefix = prefix_of(i, *links[i]);
    result.push_back({settings_name(prefix), {checksum_of(*links[i])}});
    ByteWriter writer;
    links[i]->save_state(writer, {index, index + 1});
    const auto own = static_cast<std::ptrdiff_t>(result.size());
    for (const ByteWriter::Named& named : writer.named()) {
      std::string name = prefix + std::string(named.name);
      auto found = std::find_if(result.begin() + own, result.end(),
                                [&](const ParameterStatistic& other) { return other.name == name; });
      if (found == result.end()) found = result.insert(found, {std::move(name), {}});
      for (std::size_t k = 0; k < named.count; ++k) found->values.push_back(writer.number(named, k));
    }
  }
  return result;
}

Status GradientTransform::Impl::set_statistics_of(std::size_t index,
                                                  std::span<const ParameterStatistic> given_list) {
  const std::string& parameter = parameters[index].name;
  GivenStatistics given(given_list);
  ByteWriter counter;
  counter.put(kUpdates, updates);
  const double* count = given.next(std::string(kUpdates));
  if (count == nullptr || !counter.set_number(counter.named().front(), 0, *count) || *count < 0.0) {
    return misfit(detail::concat("statistics of '", parameter, "' have no number of updates"));
  }
  updates = static_cast<std::int64_t>(*count);
  for (std::size_t i = 0; i < links.size(); ++i) {
    ChainLink& link = *links[i];
    const std::string prefix = prefix_of(i, link);
    const double* settings = given.next(settings_name(prefix));
    if (settings == nullptr || *settings != checksum_of(link)) {
      return {StatusCode::invalid_argument,
              detail::concat("statistics of '", parameter, "' are ",
                             settings == nullptr ? "not those of '" : "of other settings of '", link.name(),
                             "', which is method ", i, " here")};
    }
    ByteWriter writer;
    link.save_room(writer, {index, index + 1},
                   [&](std::string_view name) { return given.count(prefix + std::string(name)); });
    for (const ByteWriter::Named& named : std::vector(writer.named())) {
      for (std::size_t k = 0; k < named.count; ++k) {
        const std::string name = prefix + std::string(named.name);
        const double* value = given.next(name);
        if (value != nullptr && writer.set_number(named, k, *value)) continue;
        return misfit(detail::concat("statistics of '", parameter, "' have ",
                                     value == nullptr ? "too few values of '" : "an impossible value of '",
                                     name, "'"));
      }
    }
    ByteReader reader(writer.bytes());
    const auto position = static_cast<std::ptrdiff_t>(index);
    const std::size_t rows = row_count(parameters[index].sizes);
    GRADSTAB_RETURN_IF_ERROR(link.load_state(reader, {{&position, 1}, {&rows, 1}, false, {&parameter, 1}}));
  }
  const ParameterStatistic* other = given.left_over();
  if (other == nullptr) return {};
  return misfit(detail::concat("statistics of '", parameter, "' have '", other->name, "' with ",
                               other->values.size(), " values, which is not expected here"));
}

Status GradientTransform::Impl::set_statistics(
    std::span<const std::vector<ParameterStatistic>> of_parameters) {
  if (of_parameters.size() != parameters.size()) {
    return misfit(detail::concat("got statistics of ", of_parameters.size(), " parameters, ",
                                 parameters.size(), " are registered"));
  }
  const std::vector<std::byte> before = save();
  const auto step_before = last_step;
  Status status;
  for (std::size_t i = 0; i < of_parameters.size() && status.ok(); ++i) {
    if (!of_parameters[i].empty()) status = set_statistics_of(i, of_parameters[i]);
  }
  last_step.reset();  // as of `load`
  if (status.ok()) return status;
  load(before, true).check();
  last_step = step_before;
  return status;
}

Result<std::vector<ParameterStatistic>> GradientTransform::statistics(std::size_t index) const {
  if (!impl_->initialised)
    return Status(StatusCode::failed_precondition, "statistics was called before a successful init");
  if (index >= impl_->parameters.size()) {
    return Status(StatusCode::invalid_argument, detail::concat("there is no parameter ", index, "; ",
                                                               impl_->parameters.size(), " are registered"));
  }
  return errors_as_values(
      [&]() -> Result<std::vector<ParameterStatistic>> { return impl_->statistics(index); });
}

Status GradientTransform::set_statistics(std::span<const std::vector<ParameterStatistic>> of_parameters) {
  if (!impl_->initialised)
    return {StatusCode::failed_precondition, "set_statistics was called before a successful init"};
  return errors_as_values([&] { return impl_->set_statistics(of_parameters); });
}

Result<std::vector<Parameter>> saved_parameters(std::span<const std::byte> bytes) {
  const auto payload = unwrap_state(bytes);
  if (!payload) return payload.status();
  // A transform's begins with its number of updates, which is never as large as these letters.
  ByteReader marked(*payload);
  if (marked.get_string() == kOptimizerMarker) {
    marked.get_string();
    marked.get<std::int64_t>();
    const auto of_transform = marked.get_bytes(marked.get<std::uint64_t>());
    if (!marked.ok()) return Status(StatusCode::corrupt_data, "state ends inside its header");
    return saved_parameters(of_transform);
  }
  ByteReader reader(*payload);
  reader.get<std::int64_t>();
  const auto count = reader.get<std::uint64_t>();
  std::vector<Parameter> parameters;
  for (std::uint64_t i = 0; i < count && reader.ok(); ++i) {
    Parameter parameter{reader.get_string(), {}};
    const auto rank = reader.get<std::uint32_t>();
    for (std::uint32_t d = 0; d < rank && reader.ok(); ++d)
      parameter.sizes.push_back(reader.get<std::int64_t>());
    parameters.push_back(std::move(parameter));
  }
  if (!reader.ok()) return Status(StatusCode::corrupt_data, "state ends inside its list of parameters");
  return parameters;
}

}  // namespace gradstab
