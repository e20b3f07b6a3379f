// Runs a pruned model: `run_model MODEL INPUT OUTPUT`. The files are tensors as `torch.save` writes them, so Python can
// make and read them.

#include <torch/script.h>
#include <torch/torch.h>

#include <fstream>
#include <iostream>
#include <iterator>
#include <stdexcept>
#include <string>
#include <vector>

namespace {

at::Tensor read_tensor(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  if (!file) {
    throw std::runtime_error(path + " cannot be read");
  }
  const std::vector<char> bytes((std::istreambuf_iterator<char>(file)), std::istreambuf_iterator<char>());
  return torch::pickle_load(bytes).toTensor();
}

void write_tensor(const at::Tensor& tensor, const std::string& path) {
  const std::vector<char> bytes = torch::pickle_save(tensor);
  std::ofstream file(path, std::ios::binary);
  if (!file.write(bytes.data(), static_cast<std::streamsize>(bytes.size()))) {
    throw std::runtime_error(path + " cannot be written");
  }
}

}  // namespace

int main(int count, char** arguments) {
  if (count != 4) {
    std::cerr << "usage: run_model MODEL INPUT OUTPUT\n";
    return 2;
  }
  try {
    const c10::InferenceMode no_gradients;
    torch::jit::Module model = torch::jit::load(arguments[1], torch::kCPU);
    model.eval();
    const at::Tensor output = model.forward({read_tensor(arguments[2])}).toTensor();
    write_tensor(output, arguments[3]);
    std::cout << "output " << output.sizes() << ", largest " << output.argmax(1) << '\n';
  } catch (const std::exception& error) {
    std::cerr << "error: " << error.what() << '\n';
    return 1;
  }
}
