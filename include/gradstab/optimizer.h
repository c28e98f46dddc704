/// The optimizers of the C interface, each with an optional gradient transform in front, whose factors are
/// folded into the update. docs/optimizers.md says which there are and what they compute, docs/c-abi.md how
/// to use them.
///
/// Life of an optimizer: options filled by an init function, the optimizer made by gradstab_adam or another
/// of the makers, bound to named parameters by gradstab_optimizer_init, called once per step with parameters
/// and gradients, freed by gradstab_optimizer_destroy.
///
/// What gradstab.h says of errors, threads and compatibility holds here too, with
/// gradstab_optimizer_last_error in the place of gradstab_last_error.
#ifndef GRADSTAB_OPTIMIZER_H
#define GRADSTAB_OPTIMIZER_H

#include "gradstab/gradstab.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct gradstab_optimizer gradstab_optimizer;

/// What was wrong in the last call with this optimizer as its first argument; "" if it succeeded. For NULL,
/// the same of the calling thread's last call without an optimizer or a transform, as
/// gradstab_last_error(NULL) has it. Never NULL; valid until the next such call.
GRADSTAB_API const char* gradstab_optimizer_last_error(const gradstab_optimizer* optimizer);

// ---- Settings -----------------------------------------------------------------------------------------
// The options of each optimizer are filled by their init function with the library's defaults, given
// `struct_size`, the sizeof of the struct; 0 is no default here. Then change what you like.

typedef int32_t gradstab_optimizer_kind;
enum {
  GRADSTAB_SGD = 1,
  GRADSTAB_ADAM = 2,  ///< also AdamW and AMSGrad
  GRADSTAB_LION = 3,
  GRADSTAB_ADAM_MINI = 4,
  GRADSTAB_SPAM = 5
};

/// What the options of every optimizer begin with, set by their init functions. A pointer to it stands for
/// the options where any kind is accepted: `&adam.base`.
typedef struct gradstab_optimizer_options {
  size_t struct_size;  ///< of the options as a whole
  gradstab_optimizer_kind kind;
  int32_t reserved;
} gradstab_optimizer_options;

/// Stochastic gradient descent, as torch.optim.SGD.
typedef struct gradstab_sgd_options {
  gradstab_optimizer_options base;
  double lr;            ///< learning rate, at least 0
  double momentum;      ///< at least 0
  double dampening;     ///< part of the gradient that stays out of the buffer; 0 with nesterov
  double weight_decay;  ///< L2: added to the gradient
  int32_t nesterov;     ///< 1: needs momentum above 0
  int32_t reserved;
} gradstab_sgd_options;

/// lr 0.001, everything else 0.
GRADSTAB_API gradstab_status gradstab_sgd_options_init(gradstab_sgd_options* options, size_t struct_size);

/// Which form of a method.
typedef int32_t gradstab_compat;
enum {
  GRADSTAB_ROBUST = 0,   ///< this library's
  GRADSTAB_RELEASED = 1  ///< its authors', defects included
};

/// Adam and AdamW, as torch.optim.Adam and AdamW.
typedef struct gradstab_adam_options {
  gradstab_optimizer_options base;
  double lr;
  double beta1;    ///< in [0, 1)
  double beta2;    ///< in [0, 1)
  double epsilon;  ///< added to the root of the bias-corrected second moment
  double weight_decay;
  int32_t decoupled;       ///< 1: weight decay shrinks the parameter (AdamW); 0: it joins the gradient (Adam)
  int32_t amsgrad;         ///< 1: divide by the largest second moment so far
  int64_t reset_interval;  ///< the moments start afresh every so many steps; 0: never
  int32_t compat;  ///< a gradstab_compat: whether resets are as this library or as the authors have them
  int32_t reserved;
} gradstab_adam_options;

typedef int32_t gradstab_adam_preset;
enum {
  GRADSTAB_PRESET_ADAM = 0,  ///< no weight decay
  GRADSTAB_PRESET_ADAMW = 1  ///< decoupled weight decay of 0.01
};

/// lr 0.001, betas 0.9 and 0.999, epsilon 1e-8. Errors: no such preset.
GRADSTAB_API gradstab_status gradstab_adam_options_init(gradstab_adam_options* options, size_t struct_size,
                                                        gradstab_adam_preset preset);

/// Lion (arXiv 2302.06675).
typedef struct gradstab_lion_options {
  gradstab_optimizer_options base;
  double lr;
  double beta1;          ///< weight of the momentum in the direction of the step, in [0, 1)
  double beta2;          ///< of the momentum, in [0, 1)
  double weight_decay;   ///< decoupled
  double decay_over_lr;  ///< above 0: weight decay is divided by this initial learning rate
} gradstab_lion_options;

/// lr 0.0001, betas 0.9 and 0.99.
GRADSTAB_API gradstab_status gradstab_lion_options_init(gradstab_lion_options* options, size_t struct_size);

/// What shares a second moment in Adam-mini.
typedef int32_t gradstab_adam_mini_unit;
enum {
  GRADSTAB_MINI_ELEMENT = 0,  ///< nothing: ordinary Adam
  GRADSTAB_MINI_HEAD = 1,     ///< dim * dim / n_heads consecutive numbers
  GRADSTAB_MINI_ROW = 2,      ///< an index of axis 0
  GRADSTAB_MINI_TENSOR = 3    ///< everything
};

/// Goes before the rules by name; `*` in a pattern stands for any characters.
typedef struct gradstab_adam_mini_override {
  const char* pattern;
  gradstab_adam_mini_unit unit;
  int32_t reserved;
} gradstab_adam_mini_override;

/// Adam-mini (arXiv 2406.16793), divided by parameter name: docs/optimizers.md has the rules.
typedef struct gradstab_adam_mini_options {
  gradstab_optimizer_options base;
  double lr;
  double beta1;
  double beta2;
  double epsilon;
  double weight_decay;  ///< decoupled; none where the name contains "norm", "ln" or "bias"
  int64_t dim;          ///< width of the model, for query and key weights
  int64_t n_heads;      ///< attention heads
  const gradstab_adam_mini_override* overrides;
  size_t override_count;
} gradstab_adam_mini_options;

/// lr 0.001, betas 0.9 and 0.999, epsilon 1e-8; neither dim nor heads.
GRADSTAB_API gradstab_status gradstab_adam_mini_options_init(gradstab_adam_mini_options* options,
                                                             size_t struct_size);

/// SPAM (arXiv 2501.06842).
typedef struct gradstab_spam_options {
  gradstab_optimizer_options base;
  double lr;
  double beta1;
  double beta2;
  double epsilon;
  double weight_decay;     ///< decoupled, after the update
  double threshold;        ///< clips where a square exceeds this many second moments; above 0
  int64_t reset_interval;  ///< moments start afresh every so many steps; 0: never
  int64_t warmup_steps;    ///< after a reset the learning rate rises along a cosine
  int64_t quiet_steps;     ///< after a reset nothing is clipped; also in the first steps of all
} gradstab_spam_options;

/// lr 0.001, betas 0.9 and 0.999, epsilon 1e-6, threshold 5000, a reset every 500 steps, 150 steps of
/// warm-up, 20 quiet ones.
GRADSTAB_API gradstab_status gradstab_spam_options_init(gradstab_spam_options* options, size_t struct_size);

// ---- Makers -------------------------------------------------------------------------------------------
// Each puts a new optimizer into *optimizer, to be freed by gradstab_optimizer_destroy; NULL after an error.
// Settings are copied. `options` NULL: the defaults, for gradstab_adam those of GRADSTAB_PRESET_ADAM.
//
// `transform` goes in front; NULL: gradients are used as they are. On success it is part of the optimizer:
// its handle is gone and must not be used again, not even freed, and what it was bound to and remembered is
// gone too. After an error the caller still owns it as it was; after GRADSTAB_OUT_OF_MEMORY it may have
// become unusable, but still is the caller's to free.
//
// Errors: a setting outside its range, options of another kind.

GRADSTAB_API gradstab_status gradstab_sgd(const gradstab_sgd_options* options, gradstab_transform* transform,
                                          gradstab_optimizer** optimizer);
GRADSTAB_API gradstab_status gradstab_adam(const gradstab_adam_options* options,
                                           gradstab_transform* transform, gradstab_optimizer** optimizer);
GRADSTAB_API gradstab_status gradstab_lion(const gradstab_lion_options* options,
                                           gradstab_transform* transform, gradstab_optimizer** optimizer);
GRADSTAB_API gradstab_status gradstab_adam_mini(const gradstab_adam_mini_options* options,
                                                gradstab_transform* transform,
                                                gradstab_optimizer** optimizer);
GRADSTAB_API gradstab_status gradstab_spam(const gradstab_spam_options* options,
                                           gradstab_transform* transform, gradstab_optimizer** optimizer);

/// NULL is fine.
GRADSTAB_API void gradstab_optimizer_destroy(gradstab_optimizer* optimizer);

/// "adamw", or "chain(clip_by_global_norm, stabilize) + adamw". Valid until the optimizer is freed or
/// gradstab_optimizer_set_options is called.
GRADSTAB_API gradstab_status gradstab_optimizer_name(const gradstab_optimizer* optimizer, const char** name);

// ---- Parameters ---------------------------------------------------------------------------------------

/// How bfloat16 parameters are updated. float32 and float64 parameters are updated as they are.
typedef int32_t gradstab_low_precision;
enum {
  GRADSTAB_MASTER_COPY = 0,  ///< a float32 copy inside the optimizer is updated and rounded to the parameter
  GRADSTAB_STOCHASTIC_ROUNDING = 1  ///< no copy: results are rounded up or down at random, right on average
};

/// How an optimizer runs. All 0 but `struct_size`: as a transform by default, with master copies.
typedef struct gradstab_optimizer_run_options {
  size_t struct_size;
  const gradstab_run_options* run;  ///< NULL: all defaults
  gradstab_low_precision low_precision;
  int32_t reserved;
  uint64_t seed;  ///< of stochastic rounding
} gradstab_optimizer_run_options;

/// Some of the parameters, with settings of their own.
typedef struct gradstab_optimizer_group {
  const gradstab_optimizer_options* options;  ///< of the optimizer's own kind: `&adam.base`
  const size_t* parameters;                   ///< their indices
  size_t parameter_count;
} gradstab_optimizer_group;

/// Binds the optimizer to parameters; a second call starts afresh. Everything is copied. `options` NULL: all
/// defaults.
///
/// Without groups (NULL, 0) all parameters have the settings that the optimizer was made with, or that were
/// set before this call. Otherwise each parameter is in exactly one group; the settings of the maker then
/// determine only the kind, and Adam and AdamW are one kind.
///
/// Errors, after which the optimizer is not initialised: what gradstab_init refuses, groups of another kind
/// or with settings outside their range, a parameter in no group or in two, and for Adam-mini a parameter
/// whose division is unclear.
GRADSTAB_API gradstab_status gradstab_optimizer_init(gradstab_optimizer* optimizer,
                                                     const gradstab_parameter* parameters, size_t count,
                                                     const gradstab_optimizer_run_options* options,
                                                     const gradstab_optimizer_group* groups,
                                                     size_t group_count);

/// Continues with other parameters, or with the same in other groups: state of the names that stay is kept,
/// new names start fresh. Without groups (NULL, 0) all have the settings that group 0 has now. An error
/// leaves everything as it was; beside those of gradstab_optimizer_init: momentum, AMSGrad or Adam-mini's
/// division of a parameter that has begun to train changes.
GRADSTAB_API gradstab_status gradstab_optimizer_rebind(gradstab_optimizer* optimizer,
                                                       const gradstab_parameter* parameters, size_t count,
                                                       const gradstab_optimizer_group* groups,
                                                       size_t group_count);

/// How many parameters are registered.
GRADSTAB_API gradstab_status gradstab_optimizer_parameter_count(const gradstab_optimizer* optimizer,
                                                                size_t* count);

/// The name of a registered parameter; valid until the next gradstab_optimizer_init or
/// gradstab_optimizer_rebind. Errors: no parameter of that index.
GRADSTAB_API gradstab_status gradstab_optimizer_parameter_name(const gradstab_optimizer* optimizer,
                                                               size_t index, const char** name);

/// The name of the backend in use; valid until the next gradstab_optimizer_init. Errors: not initialised.
GRADSTAB_API gradstab_status gradstab_optimizer_backend_in_use(const gradstab_optimizer* optimizer,
                                                               const char** name);

// ---- Settings between steps ---------------------------------------------------------------------------
// Groups count from 0 in the order in which they were given. Before gradstab_optimizer_init, and where no
// groups were given, there is one; what is set before gradstab_optimizer_init is what it begins with. Errors
// of all these: no such group. An error changes nothing.

/// How many groups there are.
GRADSTAB_API gradstab_status gradstab_optimizer_group_count(const gradstab_optimizer* optimizer,
                                                            size_t* count);

/// The learning rate of a group.
GRADSTAB_API gradstab_status gradstab_optimizer_lr(const gradstab_optimizer* optimizer, size_t group,
                                                   double* lr);

/// Sets the learning rate of all groups, for a schedule: before every step if you like. Errors: negative, NaN
/// or infinite.
GRADSTAB_API gradstab_status gradstab_optimizer_set_lr(gradstab_optimizer* optimizer, double lr);

/// Sets the learning rate of one group.
GRADSTAB_API gradstab_status gradstab_optimizer_set_group_lr(gradstab_optimizer* optimizer, size_t group,
                                                             double lr);

/// Sets everything of one group. Errors: options of another kind (Adam and AdamW are one), a setting outside
/// its range, momentum or AMSGrad switched on or off after the first step, `dim`, `n_heads` or `overrides`
/// that would divide a parameter of Adam-mini otherwise than gradstab_optimizer_init did.
GRADSTAB_API gradstab_status gradstab_optimizer_set_options(gradstab_optimizer* optimizer, size_t group,
                                                            const gradstab_optimizer_options* options);

// ---- Steps --------------------------------------------------------------------------------------------

/// One step over all parameters, in place; gradients are not written. `parameters` and `gradients` have one
/// tensor per parameter in the registered order. A parameter whose gradient has no data is left out of this
/// step; its own tensor is then not read.
///
/// Parameters are float32, float64 or bfloat16 and dense in memory. Gradients may have any strides and any
/// dtype, except that float64 goes with float64 only, and are not sparse. The first step of a parameter
/// allocates its state; later ones allocate nothing.
///
/// `step`, unless GRADSTAB_NO_STEP, must grow from call to call. `report` is optional; its arrays belong to
/// the optimizer and are valid until its next call that is not const. Where it says `skip_step`, nothing was
/// done.
///
/// Errors leave parameters, gradients and state as they were: those of gradstab_update, and of a parameter
/// with a gradient no data, another shape, dtype or device than it can have, another dtype than in earlier
/// steps, gaps or overlaps in memory, memory shared with another parameter. The report is empty after an
/// error, except GRADSTAB_NON_FINITE, after which it holds what was measured.
GRADSTAB_API gradstab_status gradstab_optimizer_step(gradstab_optimizer* optimizer,
                                                     const gradstab_tensor* parameters,
                                                     const gradstab_tensor* gradients, size_t count,
                                                     int64_t step, gradstab_step_report* report);

/// The same for parameters that all have one dtype and gradients that all have one, all in their registered
/// shape and contiguous on the CPU. A NULL in `gradients` means that there is no gradient in this step.
GRADSTAB_API gradstab_status gradstab_optimizer_step_pointers(gradstab_optimizer* optimizer,
                                                              void* const* parameters, void* const* gradients,
                                                              size_t count, gradstab_dtype parameter_dtype,
                                                              gradstab_dtype gradient_dtype, int64_t step,
                                                              gradstab_step_report* report);

/// GRADSTAB_OK if gradstab_optimizer_step_one is possible; otherwise GRADSTAB_UNSUPPORTED, and the message
/// says why: SPAM, a transform that needs the norms of all tensors at once (clipping, units of groups or of
/// the model), policy GRADSTAB_SKIP_STEP.
GRADSTAB_API gradstab_status gradstab_optimizer_can_step_one(const gradstab_optimizer* optimizer);

/// One step of one parameter, for calling as soon as backward has produced its gradient, which may be freed
/// afterwards. A gradient without data does nothing. Results are the bits of gradstab_optimizer_step.
/// `report` is optional, and after an error that of a tensor without gradient. Errors beside those of
/// gradstab_optimizer_step: no parameter of that index, what gradstab_optimizer_can_step_one says.
GRADSTAB_API gradstab_status gradstab_optimizer_step_one(gradstab_optimizer* optimizer, size_t index,
                                                         const gradstab_tensor* parameter,
                                                         const gradstab_tensor* gradient,
                                                         gradstab_tensor_report* report);

/// Measures one gradient ahead of gradstab_optimizer_step, while it is still in cache; that step then uses
/// this norm if it is given the same memory. The gradient must not change in between. Errors: no
/// parameter of that index, a gradient that the step would refuse.
GRADSTAB_API gradstab_status gradstab_optimizer_measure_one(gradstab_optimizer* optimizer, size_t index,
                                                            const gradstab_tensor* gradient);

/// The parameters whose gradient held NaN or Inf in their last step, over all or of their own: puts their
/// number into *count and the first `capacity` of their indices, in growing order, into `indices`, which may
/// be NULL where `capacity` is 0.
GRADSTAB_API gradstab_status gradstab_optimizer_nonfinite_tensors(const gradstab_optimizer* optimizer,
                                                                  size_t* indices, size_t capacity,
                                                                  size_t* count);

// ---- State --------------------------------------------------------------------------------------------
// What the optimizer and its transform remember, in the versioned and checksummed format of
// docs/state-format.md. Settings, learning rates included, are not part of it. Parameters are matched by
// name. A load that fails leaves the state as it was. Only where memory is too short to restore the old
// state, gradstab_optimizer_load and gradstab_optimizer_rebind leave the optimizer uninitialised, and its
// next call says so.

/// Puts all state into new memory, to be freed by gradstab_free. Errors: not initialised.
GRADSTAB_API gradstab_status gradstab_optimizer_save(const gradstab_optimizer* optimizer, void** bytes,
                                                     size_t* size);

/// Restores what gradstab_optimizer_save wrote, into an optimizer of the same kind behind the same transform,
/// initialised with the same parameters; the order of the parameters may differ. Errors: not initialised,
/// truncated, damaged, foreign or newer data, other parameters, another kind or transform, momentum, AMSGrad
/// or Adam-mini's units other than those of the saved run. A parameter of another dtype is refused by its
/// next step.
GRADSTAB_API gradstab_status gradstab_optimizer_load(gradstab_optimizer* optimizer, const void* bytes,
                                                     size_t size);

/// gradstab_optimizer_save into a file, which is replaced as a whole, as gradstab_save_file does.
GRADSTAB_API gradstab_status gradstab_optimizer_save_file(const gradstab_optimizer* optimizer,
                                                          const char* path);

/// gradstab_optimizer_load from a file.
GRADSTAB_API gradstab_status gradstab_optimizer_load_file(gradstab_optimizer* optimizer, const char* path);

#ifdef __cplusplus
}
#endif

#endif
