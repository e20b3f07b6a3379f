// A user's own program: loads an original and a pruned detector with libtorch, and runs both on images of three sizes, with a
// threshold by name. Says what it read of the pruned file; fails when the two differ.
#include <torch/script.h>

#include <cstdlib>
#include <iostream>

namespace {

void expect(bool is_so, const std::string& what) {
  if (is_so) return;
  std::cerr << what << std::endl;
  std::exit(1);
}

void expect_same(const at::Tensor& pruned, const at::Tensor& original) {
  expect(pruned.sizes() == original.sizes() && pruned.dtype() == original.dtype(), "another shape or type");
  expect(at::allclose(pruned, original, 1e-4, 1e-5), "other numbers");
}

}  // namespace

int main(int, char** arguments) {
  const torch::NoGradGuard no_grad;
  torch::jit::ExtraFilesMap extra{{"names.json", ""}};
  torch::jit::Module original = torch::jit::load(arguments[1]);
  torch::jit::Module pruned = torch::jit::load(arguments[2], c10::nullopt, extra);
  std::cout << "names.json: " << extra["names.json"] << "\nnames:";
  for (const c10::IValue& name : pruned.attr("names").toList().vec()) std::cout << " " << name.toStringRef();
  int sizes = 0;
  for (const auto& [height, width] : {std::pair{16, 16}, {32, 40}, {20, 64}}) {
    const at::Tensor images = torch::randn({2, 3, height, width});
    // libtorch rewrites a program after its first calls.
    for (int call = 0; call < 3; ++call) {
      const torch::jit::Kwargs by_name{{"images", images}, {"threshold", 0.25}};
      const auto found = pruned.get_method("forward")({}, by_name).toTuple();
      const auto expected = original.get_method("forward")({}, by_name).toTuple();
      expect_same(found->elements()[0].toTensor(), expected->elements()[0].toTensor());
      const auto maps = found->elements()[1].toTensorVector(), others = expected->elements()[1].toTensorVector();
      expect(maps.size() == 2 && others.size() == 2, "another number of maps");
      for (size_t level = 0; level < 2; ++level) expect_same(maps[level], others[level]);
    }
    ++sizes;
  }
  std::cout << "\nsizes: " << sizes << "\n";
}
