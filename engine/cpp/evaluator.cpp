#include "evaluator.h"

#include <ATen/core/dispatch/Dispatcher.h>
#include <ATen/core/interned_strings.h>
#include <torch/csrc/jit/api/function_impl.h>
#include <torch/csrc/jit/ir/constants.h>
#include <torch/csrc/jit/ir/ir.h>

#include <algorithm>
#include <map>
#include <unordered_map>
#include <unordered_set>

#include "failure.h"
#include "frame.h"
#include "nodes.h"
#include "operators.h"
#include "places.h"
#include "secateur-engine/src/torch/bridge.rs.h"

namespace secateur {
namespace {

using c10::IValue;
using torch::jit::Block;
using torch::jit::Node;
using torch::jit::Value;

constexpr int64_t kMaxTrips = 100'000;
constexpr size_t kMaxCalls = 200;
// Of blocks inside each other, through calls too: each takes room on the stack.
constexpr size_t kMaxBlocks = 400;

const c10::Symbol kIsGradEnabled = c10::Symbol::fromQualString("aten::is_grad_enabled");
const c10::Symbol kSetGradEnabled = c10::Symbol::fromQualString("aten::set_grad_enabled");
const c10::Symbol kMakeDevice = c10::Symbol::fromQualString("aten::device");
const c10::Symbol kData = c10::Symbol::fromQualString("prim::data");
const c10::Symbol kFusedAttention = c10::Symbol::fromQualString("aten::_native_multi_head_attention");
const c10::Symbol kRepeatInterleave = c10::Symbol::fromQualString("aten::repeat_interleave");
const c10::Symbol kFusedEncoderLayer = c10::Symbol::fromQualString("aten::_transformer_encoder_layer_fwd");

// What a call takes or gives back, and which of it depends on the size of a tensor.
struct Passed {
  std::vector<IValue> values;
  std::vector<bool> sized;
};

class Evaluator : Reviewer {
 public:
  Evaluator(const ModuleTensors& tensors, Recorder& recorder, Budget& budget, Guide* guide)
      : tensors_(tensors), recorder_(recorder), budget_(budget), guide_(guide), places_(tensors, frames_) {
    if (guide != nullptr) recorder_.ask(this);
  }

  // Sets `sized` when the result depends on the size of a tensor.
  IValue call(torch::jit::Function& function, Passed passed, const Place& caller, bool& sized) {
    std::vector<IValue>& args = passed.values;
    if (++depth_ > kMaxCalls) {
      throw refusal(caller, "The model's functions call each other more than " + std::to_string(kMaxCalls) + " deep.");
    }
    function.ensure_defined();
    const auto graph = torch::jit::toGraphFunction(function).graph();
    TORCH_CHECK(
        graph->inputs().size() == args.size(), function.qualname().qualifiedName(), " is called with ", args.size(),
        " arguments");
    Frame frame;
    frame.function = &function;
    frame.module = caller.module;
    if (!args.empty() && args[0].isObject()) {
      const auto path = tensors_.paths.find(args[0].toObject().get());
      if (path != tensors_.paths.end()) {
        frame.module = path->second;
        frame.is_method = true;
      }
    }
    frames_.push_back(&frame);
    for (size_t index = 0; index < args.size(); ++index) {
      frame.values[graph->inputs()[index]] = std::move(args[index]);
      if (passed.sized[index]) frame.sized.insert(graph->inputs()[index]);
    }
    run(graph->block(), frame);
    IValue result = frame.values.at(graph->outputs().at(0));
    sized = frame.sized.count(graph->outputs()[0]) != 0;
    frames_.pop_back();
    --depth_;
    return result;
  }

  // A program that reads an attribute as it was before the call, and replaces it, keeps state: what it found there, and
  // all that it leaves in attributes. Another call, or another method, may take a branch that makes these anew.
  void keep_state() {
    bool keeps = false;
    for (const Attribute& attribute : inherited_) {
      if (assigned_.count(attribute) == 0 || is_created(attribute.first)) continue;
      keeps = true;
      recorder_.keep(attribute.first->getAttr(attribute.second));
    }
    if (!keeps) return;
    for (const Attribute& attribute : assigned_in_order_) recorder_.keep(assigned_.at(attribute).first);
  }

  bool is_created(const c10::ivalue::Object* object) const {
    return std::any_of(created_.begin(), created_.end(), [&](const auto& created) { return created.get() == object; });
  }

  std::optional<IValue> review(
      size_t call, const std::string& op, size_t argument, const std::string& literal) override {
    const Wanted wanted = guide_->review(call, op, argument, literal);
    if (!wanted.differs) return std::nullopt;
    const auto report = [&](std::optional<size_t> element) {
      const ProgramPlace place =
          is_own_call_ ? places_.of_input(frames_.back()->at, argument, element) : Places::unknown();
      guide_->found(call, argument, element ? static_cast<int64_t>(*element) : -1, place);
    };
    if (wanted.elements.empty()) report(std::nullopt);
    for (const size_t element : wanted.elements) report(element);
    switch (wanted.kind) {
      case WantedKind::None: return IValue();
      case WantedKind::Int: return IValue(wanted.ints.at(0));
      case WantedKind::Ints: return IValue(std::vector<int64_t>(wanted.ints.begin(), wanted.ints.end()));
      case WantedKind::Float: return IValue(wanted.floats.at(0));
      case WantedKind::Floats: return IValue(std::vector<double>(wanted.floats.begin(), wanted.floats.end()));
      default: return std::nullopt;
    }
  }

 private:
  // A `chunk` into parts that are not of one size any more is told to be a split into these sizes.
  bool split_instead(const Node* node, torch::jit::Stack& stack, const Place& place) {
    constexpr size_t kSizes = 1, kDim = 2;
    if (guide_ == nullptr || stack.size() != kDim + 1 || !stack[kSizes].isInt()) return false;
    const rust::Vec<int64_t> sizes = guide_->split(recorder_.next_call(), node->schema().name(), stack[kSizes].toInt());
    if (sizes.empty()) return false;
    const std::optional<ProgramPlace> called = places_.of_callee(node), written = places_.of_written(node, kSizes);
    const bool is_known = called && written;
    guide_->found_split(
        recorder_.next_call(), is_known ? *called : Places::unknown(), is_known ? *written : Places::unknown());
    stack[kSizes] = std::vector<int64_t>(sizes.begin(), sizes.end());
    stack = {apply("aten::split_with_sizes", "", std::move(stack), place)};
    return true;
  }

  Rejected refusal(const Place& place, std::string detail, std::string hint = "") const {
    if (!place.source.empty()) detail += " (" + place.source + ")";
    return Rejected("unsupported_model", std::move(detail), place.node(), std::move(hint));
  }

  void run(const Block* block, Frame& frame) {
    const auto [entry, is_new] = last_reads_.try_emplace(block);
    if (is_new) entry->second = last_reads(block);
    const auto& dead = entry->second;
    if (++blocks_ > kMaxBlocks) {
      throw Rejected(
          "unsupported_model",
          "The model's calls, branches and loops are more than " + std::to_string(kMaxBlocks) + " inside each other.");
    }
    // A loop without a body takes time too.
    budget_.step(1, 0);
    for (const Node* node : block->nodes()) {
      budget_.step(1, written_elements(node));
      step(node, frame);
      follow_sizes(node, frame);
      const auto done = dead.find(node);
      if (done == dead.end()) continue;
      for (const Value* value : done->second) frame.values.erase(value);
    }
    --blocks_;
  }

  // What a block gives back is held by the node around it from then on.
  static void forget_outputs(const Block* block, Frame& frame) {
    for (const Value* output : block->outputs()) {
      if (output->node()->owningBlock() == block) frame.values.erase(output);
    }
  }

  // Marks what a node makes of sizes. Calls, branches and loops mark their own outputs.
  static void follow_sizes(const Node* node, Frame& frame) {
    bool sized = tells_sizes(node);
    // How long a list is, is a matter of rank.
    if (node->kind() != c10::aten::len) {
      for (const Value* input : node->inputs()) sized = sized || frame.sized.count(input) != 0;
    }
    const bool marks_its_own =
        !node->blocks().empty() || node->kind() == c10::prim::CallMethod || node->kind() == c10::prim::CallFunction;
    if (!sized || marks_its_own) return;
    for (const Value* output : node->outputs()) {
      if (!output->type()->isSubtypeOf(*c10::TensorType::get())) frame.sized.insert(output);
    }
  }

  static void mark(const Value* value, bool sized, Frame& frame) {
    if (sized) frame.sized.insert(value);
    else frame.sized.erase(value);
  }

  void step(const Node* node, Frame& frame) {
    frame.at = node;
    const auto input = [&](size_t index) -> const IValue& { return frame.values.at(node->input(index)); };
    const auto set = [&](IValue value) { frame.values[node->output()] = std::move(value); };
    const auto place = [&] { return Place{source_of(node), frame.module}; };
    bool sized = false;

    switch (node->kind()) {
      case c10::prim::Constant: return constant(node, frame);
      case c10::prim::GetAttr: return get_attribute(node, frame);
      case c10::prim::SetAttr: return set_attribute(node, frame);
      case c10::prim::CallMethod: {
        torch::jit::Function& method = input(0).toObjectRef().type()->getMethod(node->s(c10::attr::name));
        return set_result(node, call(method, passed_from(node, 0, frame), place(), sized), sized, frame);
      }
      case c10::prim::CallFunction: {
        torch::jit::Function* function = node->input(0)->type()->expectRef<c10::FunctionType>().function();
        return set_result(node, call(*function, passed_from(node, 1, frame), place(), sized), sized, frame);
      }
      case c10::prim::CreateObject: return create(node, frame, place());
      case c10::prim::Enter: {
        const IValue guard = input(0);
        torch::jit::Function& enter = guard.toObjectRef().type()->getMethod("__enter__");
        return set_result(node, call(enter, {{guard}, {false}}, place(), sized), sized, frame);
      }
      case c10::prim::Exit: {
        const IValue guard = input(0);
        torch::jit::Function& exit = guard.toObjectRef().type()->getMethod("__exit__");
        const size_t arguments = exit.getSchema().arguments().size();
        std::vector<IValue> passed{guard};
        passed.resize(arguments);
        set(call(exit, {std::move(passed), std::vector<bool>(arguments)}, place(), sized));
        return;
      }
      case c10::prim::If: return branch(node, frame);
      case c10::prim::Loop: return loop(node, frame, place());
      case c10::prim::ListConstruct: return set(list(node, frame));
      case c10::prim::DictConstruct: return set(dict(node, frame));
      case c10::prim::TupleConstruct: {
        return set(c10::ivalue::Tuple::create(inputs_from(node, 0, frame)));
      }
      case c10::prim::ListUnpack: {
        const std::vector<IValue> elements = input(0).toList().vec();
        if (elements.size() != node->outputs().size()) {
          throw Rejected(
              "input_shape",
              "A list of " + std::to_string(elements.size()) + " elements is unpacked into " +
                  std::to_string(node->outputs().size()) + " names (" + source_of(node) + ").",
              place().node());
        }
        return set_outputs(node, elements, frame);
      }
      case c10::prim::TupleUnpack: return set_outputs(node, input(0).toTupleRef().elements().vec(), frame);
      case c10::prim::TupleIndex: {
        const auto& elements = input(0).toTupleRef().elements();
        const int64_t index = input(1).toInt();
        const auto size = static_cast<int64_t>(elements.size());
        TORCH_CHECK(index >= -size && index < size, "tuple index out of range");
        return set(elements[index < 0 ? index + size : index]);
      }
      case c10::prim::TupleSlice: {
        const auto& elements = input(0).toTupleRef().elements();
        std::vector<IValue> part;
        for (int64_t index = node->i(c10::attr::beg); index < node->i(c10::attr::end); ++index) {
          part.push_back(elements[index]);
        }
        return set(c10::ivalue::Tuple::create(std::move(part)));
      }
      case c10::prim::RaiseException:
        throw Rejected(
            "input_shape",
            "The model raises an error: " + (input(0).isString() ? shortened(input(0).toStringRef()) : "") +
                (source_of(node).empty() ? "" : " (" + source_of(node) + ")"),
            place().node());
      case c10::prim::Uninitialized: return set(IValue());
      case c10::prim::unchecked_cast:
      case c10::prim::unchecked_unwrap_optional: return set(input(0));
      case c10::prim::isinstance: return set(is_instance(node, input(0)));
      case c10::prim::NumToTensor: {
        is_own_call_ = true;
        set(recorder_.scalar_tensor(input(0), place()));
        is_own_call_ = false;
        return;
      }
      case c10::aten::format: {
        const std::vector<IValue> args = inputs_from(node, 0, frame);
        budget_.admit("aten::format", args);
        return set(format(args));
      }
      case c10::aten::warn:
      case c10::prim::Print: return;
      default:
        // PyTorch's transformer layers take a fused path without gradients, which could not be trained or pruned.
        if (node->kind() == kIsGradEnabled) {
          tell_of_gradients(node, frame);
          return set(true);
        }
        if (node->kind() == kSetGradEnabled) return;
        // As with constants: the one that the model runs on.
        if (node->kind() == kMakeDevice) return set(IValue(c10::Device(c10::kCPU)));
        // Another handle of the same memory, outside of autograd.
        if (node->kind() == kData) return set(apply("aten::detach", "", {input(0)}, place()));
        if (node->kind() == kFusedAttention) return fused_attention(node, frame, place());
        if (node->kind() == kFusedEncoderLayer) {
          throw refusal(
              place(),
              "The model was traced into PyTorch's fused transformer layer, which can be neither trained nor pruned.",
              "trace it with gradients enabled, outside torch.no_grad() and torch.inference_mode()");
        }
        if (node->kind() == kRepeatInterleave && node->schema().overload_name() == "self_Tensor") {
          return repeat_interleave(node, frame, place());
        }
        return operation(node, frame, place());
    }
  }

  void get_attribute(const Node* node, Frame& frame) {
    const auto object = frame.values.at(node->input(0)).toObject();
    const Attribute attribute{object.get(), node->s(c10::attr::name)};
    const auto assigned = assigned_.find(attribute);
    if (assigned == assigned_.end()) {
      if (std::find(inherited_.begin(), inherited_.end(), attribute) == inherited_.end()) {
        inherited_.push_back(attribute);
      }
      frame.values[node->output()] = own_copy(object->getAttr(attribute.second));
      return;
    }
    const auto& [value, sized] = assigned->second;
    set_result(node, value, sized, frame);
  }

  // PyTorch's attention and encoder layers take a fused path where gradients are off, which wants the sizes of before.
  // The guide knows whether the module has them still.
  void tell_of_gradients(const Node* node, const Frame& frame) {
    if (guide_ == nullptr || !frame.is_method) return;
    ProgramPlace place = places_.of_call(node).value_or(Places::unknown());
    place.instance = frame.module;
    guide_->found_grad_mode(std::move(place));
  }

  // A guard that switches gradients off or on. No address is used twice, since attributes are told apart by it.
  void create(const Node* node, Frame& frame, const Place& place) {
    const auto type = node->output()->type()->expect<c10::ClassType>();
    if (!type->name() || type->name()->qualifiedName().rfind("__torch__.torch.autograd.grad_mode.", 0) != 0) {
      throw refusal(
          place, "The model makes an object of the class `" + type->repr_str() + "`, which is not supported.");
    }
    budget_.step(1, static_cast<int64_t>(type->numAttributes()));
    created_.push_back(c10::ivalue::Object::create(c10::StrongTypePtr(nullptr, type), type->numAttributes()));
    frame.values[node->output()] = created_.back();
  }

  // A list or dictionary that the model keeps is filled anew by every evaluation, as a cache is at the first call. What
  // is written into it is seen through every attribute that holds it.
  IValue own_copy(const IValue& value) {
    if (!value.isList() && !value.isGenericDict()) return value;
    const void* identity = value.internalToPointer();
    const auto [entry, is_new] = copies_.try_emplace(identity, value);
    if (!is_new) return entry->second;
    if (value.isList()) {
      c10::List<IValue> copy = value.toList().copy();
      for (size_t index = 0; index < copy.size(); ++index) copy.set(index, own_copy(copy.get(index)));
      return copies_[identity] = IValue(std::move(copy));
    }
    c10::Dict<IValue, IValue> copy = value.toGenericDict().copy();
    for (const auto& entry_of : value.toGenericDict()) {
      copy.insert_or_assign(entry_of.key(), own_copy(entry_of.value()));
    }
    return copies_[identity] = IValue(std::move(copy));
  }

  // Attributes that hand something on inside one call are as good as local variables.
  void set_attribute(const Node* node, Frame& frame) {
    const Attribute attribute{frame.values.at(node->input(0)).toObject().get(), node->s(c10::attr::name)};
    if (assigned_.count(attribute) == 0) assigned_in_order_.push_back(attribute);
    assigned_[attribute] = {frame.values.at(node->input(1)), frame.sized.count(node->input(1)) != 0};
  }

  void constant(const Node* node, Frame& frame) {
    // Functions are constants too, without a value: only CallFunction reads them, from the type.
    std::optional<IValue> value = torch::jit::toIValue(node->output());
    if (!value) return;
    if (value->isTensor() && !is_number(node->output())) {
      recorder_.know_constant(value->toTensor());
      name_constant(node, value->toTensor());
    }
    // Devices that the model was traced on mean the one that it runs on.
    if (value->isDevice()) value = IValue(c10::Device(c10::kCPU));
    frame.values[node->output()] = std::move(*value);
  }

  // The text of the node is the name: `CONSTANTS.c3`.
  void name_constant(const Node* node, const at::Tensor& tensor) {
    const torch::jit::SourceRange range = node->sourceRange();
    if (!tensor.defined() || !range.source()) return;
    const std::string text = range.text().str();
    if (text.rfind("CONSTANTS.c", 0) == 0) recorder_.name_constant(tensor, text);
  }

  void branch(const Node* node, Frame& frame) {
    const bool condition = frame.values.at(node->input(0)).toBool();
    const Block* taken = node->blocks()[condition ? 0 : 1];
    const Block* other = node->blocks()[condition ? 1 : 0];
    if (guide_ != nullptr && raises(taken) && !raises(other) && satisfy(node, frame)) taken = other;
    const bool by_size = frame.sized.count(node->input(0)) != 0;
    if (by_size && !raises(node->blocks()[condition ? 1 : 0])) {
      recorder_.specialise(Place{source_of(node), frame.module});
    }
    run(taken, frame);
    for (size_t index = 0; index < node->outputs().size(); ++index) {
      const IValue value = frame.values.at(taken->outputs()[index]);
      mark(node->outputs()[index], by_size || frame.sized.count(taken->outputs()[index]) != 0, frame);
      frame.values[node->outputs()[index]] = value;
    }
    forget_outputs(taken, frame);
  }

  // The program checks a size against a number, and raises an error as that is the number of before. Tells the guide
  // which number has to be written there, or that the check cannot hold.
  bool satisfy(const Node* branch, const Frame& frame) {
    const Node* comparison = branch->input(0)->node();
    while (comparison->kind() == c10::aten::__not__) comparison = comparison->input(0)->node();
    if (comparison->kind() != c10::aten::eq && comparison->kind() != c10::aten::ne) return false;
    for (const size_t size : {0, 1}) {
      const auto is = frame.values.find(comparison->input(size));
      const bool is_sized = frame.sized.count(comparison->input(size)) != 0;
      const bool is_number = frame.sized.count(comparison->input(1 - size)) == 0;
      if (!is_sized || !is_number || is == frame.values.end() || !is->second.isInt()) continue;
      guide_->found_check(is->second.toInt(), places_.of_input(comparison, 1 - size, std::nullopt));
      return true;
    }
    // Both follow the sizes, so no number makes them equal again: that they were is no longer true.
    const auto outcome = frame.values.find(comparison->output());
    const bool wanted = comparison->kind() == c10::aten::eq;
    const std::optional<ProgramPlace> call = places_.of_call(comparison);
    if (!call || (outcome != frame.values.end() && outcome->second.toBool() == wanted)) return false;
    guide_->found_condition(wanted, *call);
    return true;
  }

  void loop(const Node* node, Frame& frame, const Place& place) {
    const Block* body = node->blocks()[0];
    const int64_t trips = frame.values.at(node->input(0)).toInt();
    bool condition = frame.values.at(node->input(1)).toBool();
    Passed carried = passed_from(node, 2, frame);
    if (frame.sized.count(node->input(0)) != 0 || frame.sized.count(node->input(1)) != 0) recorder_.specialise(place);
    for (int64_t trip = 0; trip < trips && condition; ++trip) {
      if (trip == kMaxTrips) throw refusal(place, "A loop runs more than 100000 times.");
      frame.values[body->inputs()[0]] = trip;
      for (size_t index = 0; index < carried.values.size(); ++index) {
        frame.values[body->inputs()[index + 1]] = std::move(carried.values[index]);
        mark(body->inputs()[index + 1], carried.sized[index], frame);
      }
      run(body, frame);
      condition = frame.values.at(body->outputs()[0]).toBool();
      for (size_t index = 0; index < carried.values.size(); ++index) {
        carried.values[index] = frame.values.at(body->outputs()[index + 1]);
        carried.sized[index] = frame.sized.count(body->outputs()[index + 1]) != 0;
      }
      forget_outputs(body, frame);
    }
    set_outputs(node, carried.values, frame);
    for (size_t index = 0; index < carried.sized.size(); ++index)
      mark(node->outputs()[index], carried.sized[index], frame);
  }

  static IValue list(const Node* node, const Frame& frame) {
    const auto type = node->output()->type()->expect<c10::ListType>();
    c10::impl::GenericList elements(type->getElementType());
    elements.reserve(node->inputs().size());
    for (const Value* element : node->inputs()) elements.push_back(frame.values.at(element));
    return elements;
  }

  static IValue dict(const Node* node, const Frame& frame) {
    const auto type = node->output()->type()->expect<c10::DictType>();
    c10::impl::GenericDict entries(type->getKeyType(), type->getValueType());
    for (size_t index = 0; index + 1 < node->inputs().size(); index += 2) {
      entries.insert_or_assign(frame.values.at(node->input(index)), frame.values.at(node->input(index + 1)));
    }
    return entries;
  }

  static bool is_instance(const Node* node, const IValue& value) {
    const c10::TypePtr type = value.type();
    for (const c10::TypePtr& candidate : node->tys(c10::attr::types)) {
      if (type->isSubtypeOf(*candidate)) return true;
    }
    return false;
  }

  // `"...{}...".format(a)`, for the messages of errors; other uses of the text are not worth the exactness.
  static IValue format(const std::vector<IValue>& args) {
    const std::string pattern = args[0].isString() ? args[0].toStringRef() : "";
    std::string text;
    size_t next = 1;
    for (size_t index = 0; index < pattern.size(); ++index) {
      if (pattern.compare(index, 2, "{}") != 0 || next >= args.size()) {
        text += pattern[index];
        continue;
      }
      const IValue& value = args[next++];
      if (value.isString()) {
        text += value.toStringRef();
      } else {
        std::ostringstream written;
        if (value.isTensor()) written << "a tensor";
        else written << value;
        text += written.str();
      }
      ++index;
    }
    return text;
  }

  // `nn.MultiheadAttention` that was traced without gradients, as what it fuses: one projection to queries, keys and
  // values, attention by heads, the projection back.
  void fused_attention(const Node* node, Frame& frame, const Place& place) {
    const std::vector<IValue> args = inputs_from(node, 0, frame);
    const at::Tensor query = args[0].toTensor();
    const bool is_plain = query.dim() == 3 && query.is_same(args[1].toTensor()) && query.is_same(args[2].toTensor()) &&
        args[9].isNone() && !args[10].toBool();
    if (!is_plain) {
      throw refusal(
          place,
          "The model was traced into PyTorch's fused attention with a mask, with weights returned or with other keys than queries.",
          "trace it with gradients enabled, outside torch.no_grad() and torch.inference_mode()");
    }
    const int64_t batch = query.size(0), tokens = query.size(1), features = args[3].toInt(), heads = args[4].toInt();
    const auto sizes = [](std::vector<int64_t> list) { return IValue(std::move(list)); };
    IValue joined = apply("aten::linear", "", {args[0], args[5], args[6]}, place);
    joined = apply("aten::view", "", {joined, sizes({batch, tokens, 3, heads, features / heads})}, place);
    joined = apply("aten::permute", "", {joined, sizes({2, 0, 3, 1, 4})}, place);
    const std::vector<IValue> parts = apply("aten::unbind", "int", {joined, 0}, place).toList().vec();
    IValue mixed = apply(
        "aten::scaled_dot_product_attention", "",
        {parts.at(0), parts.at(1), parts.at(2), IValue(), 0.0, false, IValue(), false}, place);
    mixed = apply("aten::transpose", "int", {mixed, 1, 2}, place);
    mixed = apply("aten::reshape", "", {mixed, sizes({batch, tokens, features})}, place);
    mixed = apply("aten::linear", "", {mixed, args[7], args[8]}, place);
    set_outputs(node, {mixed, IValue()}, frame);
  }

  // Traced models give the number of repetitions as a tensor; it is recorded as the number that it holds.
  void repeat_interleave(const Node* node, Frame& frame, const Place& place) {
    const std::vector<IValue> args = inputs_from(node, 0, frame);
    const at::Tensor repeats = args[1].toTensor();
    if (recorder_.depends_on_data(repeats, "`aten::repeat_interleave`")) {
      throw refusal(
          place,
          "`aten::repeat_interleave` repeats as often as the data say, so the shape of its result depends on them.",
          "give the number of repetitions as an int");
    }
    if (repeats.numel() != 1) {
      throw refusal(
          place, "`aten::repeat_interleave` repeats each index a number of times of its own, which is not supported.",
          "give one number of repetitions as an int");
    }
    const int64_t times = repeats.item<int64_t>();
    set_outputs(node, {apply("aten::repeat_interleave", "self_int", {args[0], times, args[2], args[3]}, place)}, frame);
  }

  IValue apply(const char* name, const char* overload, torch::jit::Stack args, const Place& place) {
    const c10::OperatorHandle op = c10::Dispatcher::singleton().findSchemaOrThrow(name, overload);
    recorder_.call(op.schema(), [&op](torch::jit::Stack& operands) { op.callBoxed(operands); }, args, place);
    return args.at(0);
  }

  void operation(const Node* node, Frame& frame, const Place& place) {
    const c10::FunctionSchema& schema = node->schema();
    torch::jit::Stack stack = inputs_from(node, 0, frame);
    // The arguments are the node's inputs.
    is_own_call_ = true;
    if (const std::optional<size_t> number = number_of(node)) {
      stack[*number] = stack[*number].toTensor().item();
      stack = {apply(schema.name().c_str(), "Scalar", std::move(stack), place)};
    } else if (!split_instead(node, stack, place)) {
      if (may_grow(node)) budget_.admit(schema.name(), stack);
      torch::jit::Operation kernel = node->getOperation();
      recorder_.call(schema, [&kernel](torch::jit::Stack& operands) { kernel(operands); }, stack, place);
    }
    is_own_call_ = false;
    set_outputs(node, stack, frame);
  }

  static std::vector<IValue> inputs_from(const Node* node, size_t first, const Frame& frame) {
    std::vector<IValue> values;
    values.reserve(node->inputs().size());
    for (size_t index = first; index < node->inputs().size(); ++index) {
      values.push_back(frame.values.at(node->input(index)));
    }
    return values;
  }

  static Passed passed_from(const Node* node, size_t first, const Frame& frame) {
    Passed passed{inputs_from(node, first, frame), {}};
    for (size_t index = first; index < node->inputs().size(); ++index) {
      passed.sized.push_back(frame.sized.count(node->input(index)) != 0);
    }
    return passed;
  }

  static void set_result(const Node* node, IValue result, bool sized, Frame& frame) {
    frame.values[node->output()] = std::move(result);
    mark(node->output(), sized, frame);
  }

  static void set_outputs(const Node* node, const std::vector<IValue>& values, Frame& frame) {
    TORCH_CHECK(
        values.size() == node->outputs().size(), node->kind().toQualString(), " gives ", values.size(), " values");
    for (size_t index = 0; index < values.size(); ++index) frame.values[node->outputs()[index]] = values[index];
  }

  const ModuleTensors& tensors_;
  Recorder& recorder_;
  Budget& budget_;
  std::unordered_map<const Block*, std::unordered_map<const Node*, std::vector<const Value*>>> last_reads_;
  using Attribute = std::pair<const c10::ivalue::Object*, std::string>;
  // What `forward` has put into attributes, and whether it depends on the size of a tensor.
  std::map<Attribute, std::pair<IValue, bool>> assigned_;
  std::vector<Attribute> assigned_in_order_;
  // Attributes that were read as they were before the call, in the order in which they were.
  std::vector<Attribute> inherited_;
  // The evaluation's own copies of lists and dictionaries, by the model's.
  std::unordered_map<const void*, IValue> copies_;
  std::vector<c10::intrusive_ptr<c10::ivalue::Object>> created_;
  size_t depth_ = 0;
  size_t blocks_ = 0;
  Guide* guide_;
  // The calls that run, each in the one before it.
  std::vector<Frame*> frames_;
  Places places_;
  // The recorder calls the operator of the node, and not one of what the node stands for.
  bool is_own_call_ = false;
};

}  // namespace

IValue evaluate(
    const torch::jit::Method& method, const ModuleTensors& tensors, std::vector<IValue> inputs, Recorder& recorder,
    Budget& budget, Guide* guide) {
  inputs.insert(inputs.begin(), method.owner()._ivalue());
  const size_t count = inputs.size();
  bool sized = false;
  Evaluator evaluator(tensors, recorder, budget, guide);
  IValue result = evaluator.call(method.function(), {std::move(inputs), std::vector<bool>(count)}, Place{}, sized);
  evaluator.keep_state();
  return result;
}

}  // namespace secateur
