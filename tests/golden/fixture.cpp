#include "golden/fixture.hpp"

#include <fstream>
#include <limits>
#include <stdexcept>

namespace gradstab::fixture {
namespace {

using nlohmann::json;

const json& member(const json& object, std::string_view key) {
  const auto found = object.find(key);
  if (found == object.end()) throw std::out_of_range("fixture has no key '" + std::string(key) + "'");
  return *found;
}

Case to_case(json source) {
  Case result;
  result.name = member(source, "name").get<std::string>();
  result.hyper = member(source, "hyper");
  result.released_defect = source.value("released_defect", false);
  result.dtype = source.value("dtype", "float32");
  for (const json& tensor : member(source, "tensors")) {
    Tensor& added = result.tensors.emplace_back();
    added.name = member(tensor, "name").get<std::string>();
    added.sizes = member(tensor, "shape").get<std::vector<std::int64_t>>();
    if (tensor.contains("init")) added.init = to_float32_values(tensor["init"]);
  }
  for (json& step : source["steps"]) {
    Step& added = result.steps.emplace_back();
    added.t = member(step, "t").get<std::int64_t>();
    added.kind = member(step, "kind").get<std::string>();
    added.data = std::move(step);
  }
  source.erase("steps");
  result.data = std::move(source);
  return result;
}

json read(std::string_view method) {
  const std::string path = std::string(GRADSTAB_FIXTURE_DIR) + "/" + std::string(method) + ".json";
  std::ifstream file(path);
  if (!file) throw std::runtime_error("cannot open " + path);
  json document = json::parse(file);
  if (member(document, "format") != 1) throw std::runtime_error(path + " is not of format 1");
  return document;
}

}  // namespace

double to_number(const json& value) {
  if (value.is_number()) return value.get<double>();
  const auto text = value.get<std::string>();
  if (text == "nan") return std::numeric_limits<double>::quiet_NaN();
  if (text == "inf") return std::numeric_limits<double>::infinity();
  if (text == "-inf") return -std::numeric_limits<double>::infinity();
  throw std::invalid_argument("not a number: '" + text + "'");
}

Values to_values(const json& list) {
  Values values;
  for (const json& value : list) values.push_back(to_number(value));
  return values;
}

Values to_float32_values(const json& list) {
  Values values = to_values(list);
  for (double& value : values) value = static_cast<float>(value);
  return values;
}

std::vector<Values> Step::tensors(std::string_view key) const {
  std::vector<Values> result;
  for (const json& tensor : member(data, key)) result.push_back(to_values(tensor));
  return result;
}

std::vector<Values> Step::gradients() const {
  std::vector<Values> result;
  for (const json& tensor : member(data, "grad")) result.push_back(to_float32_values(tensor));
  return result;
}

double Step::number(std::string_view key) const {
  return to_number(member(data, key));
}

Values Step::state(std::string_view key, std::string_view field) const {
  return to_values(member(member(data, key), field));
}

double Case::hyper_number(std::string_view key) const {
  return to_number(member(hyper, key));
}

std::vector<Case> load(std::string_view method) {
  json document = read(method);
  std::vector<Case> cases;
  for (json& source : document["cases"]) cases.push_back(to_case(std::move(source)));
  return cases;
}

json load_plain_case(std::string_view method, std::string_view name) {
  json document = read(method);
  for (json& source : document["cases"]) {
    if (member(source, "name") == name) return std::move(source);
  }
  throw std::out_of_range("fixture '" + std::string(method) + "' has no case '" + std::string(name) + "'");
}

Case load_case(std::string_view method, std::string_view name) {
  return to_case(load_plain_case(method, name));
}

std::vector<std::string> case_names(std::string_view method) {
  const json document = read(method);
  std::vector<std::string> names;
  for (const json& source : member(document, "cases")) {
    names.push_back(member(source, "name").get<std::string>());
  }
  return names;
}

}  // namespace gradstab::fixture
