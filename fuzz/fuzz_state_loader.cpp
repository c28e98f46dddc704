// Any bytes may be given to `load`: it takes them or says why not, and then nothing has changed.
//
// Input: one byte chooses the transform, one whether the rest is a state as it stands or a payload, around
// which header, length and checksum are then put so that the parser behind them is reached.
#include "core/base/state_codec.hpp"
#include "input.hpp"
#include "state_subjects.hpp"

namespace gradstab::fuzz {
namespace {

using Bytes = std::vector<std::byte>;

GradientTransform trained(const StateSubject& subject) {
  GradientTransform transform = subject.make();
  transform.init(state_parameters()).check();
  for (int i = 0; i < 3; ++i) step(transform, i).check();
  return transform;
}

/// A state that is refused leaves the transform as it was.
void expect_refused(const StateSubject& subject, GradientTransform& transform,
                    std::span<const std::byte> state) {
  const Bytes before = transform.save().value();
  const Status status = transform.load(state);
  GRADSTAB_FUZZ_CHECK(!status.ok() && !status.message().empty(), "%s loads a damaged state", subject.name);
  GRADSTAB_FUZZ_CHECK(transform.save().value() == before, "%s was changed by: %s", subject.name,
                      status.message().c_str());
}

/// What has been loaded is something to go on with, to save, and to load again.
void go_on(const StateSubject& subject, GradientTransform& transform) {
  for (int i = 0; i < 6; ++i) {
    step(transform, i).check();
    const Bytes saved = transform.save().value();
    GradientTransform copy = trained(subject);
    const Status status = copy.load(saved);
    GRADSTAB_FUZZ_CHECK(status.ok(), "%s cannot load what it saved: %s", subject.name,
                        status.message().c_str());
    GRADSTAB_FUZZ_CHECK(copy.save().value() == saved, "%s saves something else than it loaded", subject.name);
  }
}

void try_state(const StateSubject& subject, std::span<const std::byte> state) {
  GradientTransform transform = trained(subject);
  GradientTransform twin = trained(subject);
  if (!transform.load(state).ok()) {
    GRADSTAB_FUZZ_CHECK(transform.save().value() == twin.save().value(), "%s was changed by an error",
                        subject.name);
    step(transform, 3).check();
    step(twin, 3).check();
    GRADSTAB_FUZZ_CHECK(transform.save().value() == twin.save().value(),
                        "%s goes on differently after an error", subject.name);
    return;
  }
  go_on(subject, transform);
  const Bytes saved = transform.save().value();
  expect_refused(subject, transform, std::span(saved).first(saved.size() - 1));
  const auto payload = unwrap_state(saved).value();
  expect_refused(subject, transform, wrap_state(payload.first(payload.size() - 1)));
  transform.rebind(testing::parameter_set({{"wide", {5, 2}}, {"new", {3}}, {"b", {4}}})).check();
  step(transform, 7).check();
  transform.load(transform.save().value()).check();
}

}  // namespace
}  // namespace gradstab::fuzz

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace gradstab;
  fuzz::Input input(data, size);
  const fuzz::StateSubject& subject = input.pick(fuzz::kStateSubjects);
  const bool payload = input.flag();
  if (payload) {
    fuzz::try_state(subject, wrap_state(input.rest()));
  } else {
    fuzz::try_state(subject, input.rest());
  }
  return 0;
}
