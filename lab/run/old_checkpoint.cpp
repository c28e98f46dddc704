#include "lab/run/old_checkpoint.hpp"

#include <fmt/format.h>

#include <optional>
#include <utility>

#include "lab/run/torch_archive.hpp"
#include "lab/support/byte_reader.hpp"

namespace gradstab::lab {
namespace {

Status corrupt(std::string what) {
  return {StatusCode::corrupt_data, std::move(what)};
}

std::optional<DType> dtype_of_storage(std::string_view storage) {
  if (storage == "FloatStorage") return DType::float32;
  if (storage == "DoubleStorage") return DType::float64;
  if (storage == "HalfStorage") return DType::float16;
  if (storage == "BFloat16Storage") return DType::bfloat16;
  return {};
}

Status add_tensor(const std::string& name, const ArchiveTensor& tensor, Checkpoint& checkpoint) {
  const auto dtype = dtype_of_storage(tensor.storage);
  if (!dtype) return corrupt(fmt::format("tensor '{}' is of {}", name, tensor.storage));
  checkpoint.tensors[name] = {*dtype, tensor.sizes, tensor.bytes};
  return {};
}

/// Modules inside each other have names with points between them. `order` gets the names as they come, which
/// is the order in which the optimizer has the parameters.
Status add_weights(const ArchiveValue& module, const std::string& prefix, Checkpoint& checkpoint,
                   std::vector<std::string>& order) {
  const auto* const members = module.as<ArchiveValue::Object>();
  if (members == nullptr) return corrupt(fmt::format("'{}' is not a module of weights", prefix));
  for (const auto& [key, value] : *members) {
    const std::string name = prefix.empty() ? std::string(key) : fmt::format("{}.{}", prefix, key);
    if (const auto* const tensor = value.as<ArchiveTensor>()) {
      GRADSTAB_RETURN_IF_ERROR(add_tensor(std::string(kWeightPrefix) + name, *tensor, checkpoint));
      order.push_back(name);
    } else {
      GRADSTAB_RETURN_IF_ERROR(add_weights(value, name, checkpoint, order));
    }
  }
  return {};
}

/// A state of our own, which such an archive holds as a tensor of bytes.
Status add_blob(const ArchiveValue& archive, const char* key, const char* name, Checkpoint& checkpoint) {
  const ArchiveValue* const member = archive.member(key);
  if (member == nullptr) return {};
  const auto* const tensor = member->as<ArchiveTensor>();
  if (tensor == nullptr || tensor->storage != "ByteStorage")
    return corrupt(fmt::format("'{}' is not a tensor of bytes", key));
  checkpoint.blobs[name] = tensor->bytes;
  return {};
}

/// What LibTorch's optimizer writes: states under names made of addresses, and in which order the groups have
/// these.
Status add_libtorch_state(const ArchiveValue& archive, const std::vector<std::string>& order,
                          Checkpoint& checkpoint) {
  const ArchiveValue* const states = archive.member("state");
  const ArchiveValue* const groups = archive.member("param_groups");
  const ArchiveValue* const group = groups != nullptr ? groups->member("param_groups/0") : nullptr;
  if (states == nullptr || group == nullptr) return {};
  Json steps = Json::object();
  for (std::size_t i = 0; i < order.size(); ++i) {
    const ArchiveValue* const key = group->member("params/" + std::to_string(i));
    const auto* const address = key != nullptr ? key->as<std::string_view>() : nullptr;
    if (address == nullptr) return corrupt("its optimizer has fewer parameters than weights");
    const ArchiveValue* const state = states->member(*address);
    const auto* const members = state != nullptr ? state->as<ArchiveValue::Object>() : nullptr;
    if (members == nullptr) continue;
    for (const auto& [field, value] : *members) {
      if (const auto* const tensor = value.as<ArchiveTensor>()) {
        const std::string name = fmt::format("{}{}/{}", kOptimizerPrefix, field, order[i]);
        GRADSTAB_RETURN_IF_ERROR(add_tensor(name, *tensor, checkpoint));
      } else if (const auto* const step = value.as<std::int64_t>(); step != nullptr && field == "step") {
        steps[order[i]] = *step;
      }
    }
  }
  checkpoint.header["optimizer"] = {{"steps", steps}};
  return {};
}

Status add_archives(std::string_view weights, std::string_view optimizer, Checkpoint& checkpoint) {
  std::vector<std::string> order;
  const auto model = read_torch_archive(weights);
  if (!model) return model.status();
  GRADSTAB_RETURN_IF_ERROR(add_weights(*model, "", checkpoint, order));
  const auto archive = read_torch_archive(optimizer);
  if (!archive) return archive.status();
  GRADSTAB_RETURN_IF_ERROR(add_blob(*archive, "gradstab_optimizer", kOptimizerBlob, checkpoint));
  GRADSTAB_RETURN_IF_ERROR(add_blob(*archive, "gradstab_state", kTransformBlob, checkpoint));
  return add_libtorch_state(*archive, order, checkpoint);
}

}  // namespace

Result<Checkpoint> read_payload_of_archives(std::string_view payload, const std::string& header_name) {
  ByteReader bytes(payload);
  auto header = parse_json_object(bytes.block(), header_name);
  if (!header) return header.status();
  std::map<std::string, std::string_view> archives;
  for (auto count = bytes.number<std::uint64_t>(); count > 0 && bytes.ok(); --count) {
    const std::string name(bytes.block());
    archives[name] = bytes.block();
  }
  if (!bytes.ok() || bytes.left() > 0) return corrupt("is damaged: its content does not parse");
  Checkpoint checkpoint;
  checkpoint.header = *std::move(header);
  const Status status = add_archives(archives["model"], archives["optimizer"], checkpoint);
  if (!status.ok())
    return corrupt(fmt::format("is damaged: an archive of LibTorch in it: {}", status.message()));
  return checkpoint;
}

}  // namespace gradstab::lab
