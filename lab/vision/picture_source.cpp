#include "lab/vision/picture_source.hpp"

namespace gradstab::lab::vision {

const char* to_string(Part part) noexcept {
  constexpr std::array<const char*, kPartCount> kNames = {"training", "validation", "test"};
  return kNames[static_cast<std::size_t>(part)];
}

Json to_json(const SourceInfo& info) {
  Json json = {{"source", info.name}, {"path", info.path}, {"classes", info.classes}};
  json["channels"] = info.channels;
  if (info.size.width > 0) {
    json["width"] = info.size.width;
    json["height"] = info.size.height;
  }
  for (const Part part : {Part::training, Part::validation, Part::test})
    json[to_string(part)] = info.pictures[static_cast<std::size_t>(part)];
  json["validation_is_test"] = info.validation_is_test;
  json["sha256"] = info.sha256;
  json["sha256_of"] = info.sha256_of;
  if (!info.mean.empty()) {
    json["mean"] = info.mean;
    json["deviation"] = info.deviation;
  }
  if (!info.notes.empty()) json["notes"] = info.notes;
  return json;
}

}  // namespace gradstab::lab::vision
