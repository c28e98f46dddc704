// What torch.ops.load_library registers: classes and the operators. No CPython interface is involved, so
// one build serves every Python that runs the torch it was built against.
#include <ATen/ATen.h>
#include <torch/custom_class.h>
#include <torch/library.h>
#include <torch/version.h>

#include "aten/plain_tensors.hpp"
#include "gradstab/backend.hpp"
#include "gradstab/export.hpp"
#include "left_gradients.hpp"
#include "optimizer.hpp"
#include "own_method.hpp"
#include "parts.hpp"
#include "recorder.hpp"
#include "transform.hpp"

namespace gradstab::python {
namespace {

c10::intrusive_ptr<Transform> make_transform_object(const c10::List<std::string>& methods,
                                                    const c10::List<Numbers>& numbers,
                                                    const c10::List<Words>& words,
                                                    const std::string& nonfinite,
                                                    const std::string& backend) {
  return c10::make_intrusive<Transform>(Description{methods, numbers, words}, nonfinite, backend);
}

c10::intrusive_ptr<FusedOptimizer> make_optimizer_object(
    const std::string& kind, const c10::List<std::string>& methods, const c10::List<Numbers>& numbers,
    const c10::List<Words>& words, const std::string& nonfinite, const std::string& backend,
    const std::string& low_precision, std::int64_t seed) {
  return c10::make_intrusive<FusedOptimizer>(kind, Description{methods, numbers, words}, nonfinite, backend,
                                             low_precision, seed);
}

/// Whether the methods look at nothing but the Euclidean norms of whole gradients.
bool sees_norms_alone(const c10::List<std::string>& methods, const c10::List<Numbers>& numbers,
                      const c10::List<Words>& words) {
  return make_transform(Description{methods, numbers, words}).sees_norms_alone();
}

c10::intrusive_ptr<OwnMethod> make_own_method(std::string name, std::int64_t version, const Numbers& numbers,
                                              const Words& words, const Words& units, bool all_units,
                                              bool max_abs, bool parameter_norms) {
  return c10::make_intrusive<OwnMethod>(std::move(name), version, numbers, words, units, all_units, max_abs,
                                        parameter_norms);
}

c10::intrusive_ptr<Recorder> make_recorder(std::string path, const std::vector<std::string>& keys,
                                           const std::vector<std::string>& values, std::int64_t every) {
  return c10::make_intrusive<Recorder>(std::move(path), keys, values, every);
}

c10::intrusive_ptr<LeftGradients> make_left_gradients() {
  return c10::make_intrusive<LeftGradients>();
}

bool norms_are(at::TensorList tensors, const at::Tensor& norms) {
  return have_norms(tensors.vec(), norms);
}

at::Tensor update(std::int64_t transform, c10::IntArrayRef positions, at::TensorList gradients,
                  at::TensorList parameters) {
  return Transform::by_id(transform).update(positions.vec(), gradients.vec(), parameters.vec());
}

/// What a tracer needs to know: one norm per gradient.
at::Tensor update_meta(std::int64_t, c10::IntArrayRef, at::TensorList gradients, at::TensorList) {
  return at::empty({static_cast<std::int64_t>(gradients.size())},
                   at::TensorOptions(at::kMeta).dtype(at::kDouble));
}

// `by_torch`: as for tensors outside of host memory, wherever these are.
at::Tensor squared_norms_of(at::TensorList tensors, bool by_torch) {
  return by_torch ? squared_norms_by_torch(tensors.vec()) : squared_norms(tensors.vec());
}

at::Tensor squared_norms_meta(at::TensorList tensors, bool) {
  return at::empty({static_cast<std::int64_t>(tensors.size())},
                   at::TensorOptions(at::kMeta).dtype(at::kDouble));
}

void scale_in_place(at::TensorList tensors, const at::Tensor& factors, bool by_torch) {
  by_torch ? scale_by_torch(tensors.vec(), factors) : scale(tensors.vec(), factors);
}

void scale_meta(at::TensorList, const at::Tensor&, bool) {}

std::string version() {
  return GRADSTAB_VERSION;
}

/// Names and shapes of the parameters in the bytes of a saved state.
std::tuple<std::vector<std::string>, std::vector<std::vector<std::int64_t>>> parameters_of_state(
    const at::Tensor& bytes) {
  std::vector<std::string> names;
  std::vector<std::vector<std::int64_t>> shapes;
  for (Parameter& parameter : value(saved_parameters(to_bytes(bytes)))) {
    names.push_back(std::move(parameter.name));
    shapes.push_back(std::move(parameter.sizes));
  }
  return {std::move(names), std::move(shapes)};
}

std::vector<std::int64_t> shape_in_the_library(const std::vector<std::int64_t>& sizes, bool is_complex) {
  return registered_shape(at::IntArrayRef(sizes), is_complex);
}

/// The version of torch whose headers this was compiled with.
std::string built_for() {
  return TORCH_VERSION;
}

/// The backends that this machine can run, the fastest last.
std::vector<std::string> supported_backends() {
  std::vector<std::string> names;
  for (const Backend* backend : backends()) {
    if (backend->supported()) names.emplace_back(backend->name());
  }
  return names;
}

TORCH_LIBRARY(gradient_stabilizer, library) {
  library.class_<Transform>("Transform")
      .def("bind", &Transform::bind)
      .def("bind_shapes", &Transform::bind_shapes)
      .def("step", &Transform::step)
      .def("step_at", &Transform::step_at)
      .def("measure_parts", &Transform::measure_parts)
      .def("finish_parts", &Transform::finish_parts)
      .def("decide", &Transform::decide)
      .def("report", &Transform::report)
      .def("skips_step", &Transform::skips_step)
      .def("norms", &Transform::norms)
      .def("name", &Transform::name)
      .def("backend", &Transform::backend)
      .def("state", &Transform::state)
      .def("save", &Transform::save)
      .def("load", &Transform::load)
      .def("statistics", &Transform::statistics)
      .def("set_statistics", &Transform::set_statistics)
      .def("squared_norms", &Transform::squared_norms_of)
      .def("writable_gradients", &Transform::writable_gradients)
      .def("shapes_hold", &Transform::shapes_hold)
      .def("id", &Transform::id);
  library.class_<FusedOptimizer>("Optimizer")
      .def("bind", &FusedOptimizer::bind)
      .def("set_group", &FusedOptimizer::set_group)
      .def("step", &FusedOptimizer::step)
      .def("measure_parts", &FusedOptimizer::measure_parts)
      .def("finish_parts", &FusedOptimizer::finish_parts)
      .def("step_one", &FusedOptimizer::step_one)
      .def("report_of_one", &FusedOptimizer::report_of_one)
      .def("check_can_step_one", &FusedOptimizer::check_can_step_one)
      .def("measure_one", &FusedOptimizer::measure_one)
      .def("report", &FusedOptimizer::report)
      .def("norms", &FusedOptimizer::norms)
      .def("name", &FusedOptimizer::name)
      .def("backend", &FusedOptimizer::backend)
      .def("save", &FusedOptimizer::save)
      .def("load", &FusedOptimizer::load)
      .def("parameter_state", &FusedOptimizer::parameter_state)
      .def("set_parameter_state", &FusedOptimizer::set_parameter_state)
      .def("step_of", &FusedOptimizer::step_of)
      .def("stepped", &FusedOptimizer::stepped)
      .def("statistics", &FusedOptimizer::statistics)
      .def("set_statistics", &FusedOptimizer::set_statistics)
      .def("shapes_hold", &FusedOptimizer::shapes_hold);

  library.class_<OwnMethod>("OwnMethod")
      .def("id", &OwnMethod::id)
      .def("is_left", &OwnMethod::is_left)
      .def("steps", &OwnMethod::steps)
      .def("saved", &OwnMethod::saved)
      .def("set_decision", &OwnMethod::set_decision)
      .def("set_memory", &OwnMethod::set_memory)
      .def("set_error", &OwnMethod::set_error);

  library.class_<LeftGradients>("LeftGradients")
      .def("remember", &LeftGradients::remember)
      .def("are", &LeftGradients::are);

  library.class_<Recorder>("Recorder")
      .def("set_parameters", &Recorder::set_parameters)
      .def("set_facts", &Recorder::set_facts)
      .def("records", &Recorder::records)
      .def("next_step", &Recorder::next_step)
      .def("pass_", &Recorder::pass)
      .def("record", &Recorder::record)
      .def("write", &Recorder::write)
      .def("close", &Recorder::close);

  library.def("make_recorder", make_recorder);
  library.def("make_left_gradients", make_left_gradients);
  library.def("have_norms", norms_are);
  library.def("make_own_method", make_own_method);
  library.def("set_ask", set_ask);
  library.def("make_transform", make_transform_object);
  library.def("make_optimizer", make_optimizer_object);
  library.def("sees_norms_alone", sees_norms_alone);
  library.def("parse_transform", parse_transform_text);
  library.def("describe_settings", describe_settings);
  library.def("version", version);
  library.def("built_for", built_for);
  library.def("supported_backends", supported_backends);
  library.def(
      "update_(int transform, int[] positions, Tensor(a!)[] gradients, Tensor[] parameters) -> Tensor");
  library.def("saved_parameters", parameters_of_state);
  library.def("registered_shape", shape_in_the_library);
  library.def("squared_norms(Tensor[] tensors, *, bool by_torch=False) -> Tensor");
  library.def("scale_(Tensor(a!)[] tensors, Tensor factors, *, bool by_torch=False) -> ()");
}

TORCH_LIBRARY_IMPL(gradient_stabilizer, CompositeExplicitAutograd, library) {
  library.impl("update_", update);
  library.impl("squared_norms", squared_norms_of);
  library.impl("scale_", scale_in_place);
}

// What torch keeps for later is looked at here; its fallbacks would take writes to lists for an error.
void falls_through(torch::Library& library) {
  for (const char* name : {"update_", "squared_norms", "scale_"})
    library.impl(name, torch::CppFunction::makeFallthrough());
}

TORCH_LIBRARY_IMPL(gradient_stabilizer, Negative, library) {
  falls_through(library);
}

TORCH_LIBRARY_IMPL(gradient_stabilizer, Conjugate, library) {
  falls_through(library);
}

TORCH_LIBRARY_IMPL(gradient_stabilizer, ZeroTensor, library) {
  falls_through(library);
}

TORCH_LIBRARY_IMPL(gradient_stabilizer, Meta, library) {
  library.impl("update_", update_meta);
  library.impl("squared_norms", squared_norms_meta);
  library.impl("scale_", scale_meta);
}

}  // namespace
}  // namespace gradstab::python
