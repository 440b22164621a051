class Mlxoss < Formula
  include Language::Python::Virtualenv

  desc "Serve GPT-OSS on MLX behind OpenAI's endpoints"
  # The project has no page of its own: this is the model's.
  homepage "https://github.com/openai/gpt-oss"
  # The tap is the whole repository, so what is built is the tap's own clone, wherever it came from.
  url "file://#{File.dirname(__dir__)}", using: :git, branch: "main"
  version "0.1.0"
  license "MIT"
  head "file://#{File.dirname(__dir__)}", using: :git, branch: "main"

  depends_on arch: :arm64
  depends_on macos: :sonoma
  depends_on "python@3.14"

  # The wheels' libraries name each other by @rpath; longer absolute names would not fit in them.
  preserve_rpath

  # pip fetches while this is built: no file but those whose hashes stand in requirements.txt.
  allow_network_access! :build

  def install
    python = "python3.14"
    virtualenv_create(libexec, python, system_site_packages: false)
    pip = [python, "-m", "pip", "--python=#{libexec}/bin/python", "install"]
    system(*pip, "--require-hashes", "--only-binary=:all:", "--requirement=Formula/requirements.txt")
    # hatchling is one of them, so that nothing more is fetched to build mlxoss itself.
    system(*pip, "--no-index", "--no-deps", "--no-build-isolation", buildpath)
    bin.install_symlink libexec/"bin/mlxoss"
  end

  def caveats
    <<~EOS
      To have the model answer at http://127.0.0.1:8000/v1 after every login, use one of
        mlxoss install
        brew services start mlxoss
      not both. `mlxoss status` and `mlxoss logs` say how it is.

      After an upgrade the service starts anew by itself once no request runs;
      `mlxoss restart`, or `brew services restart mlxoss`, does so at once.
    EOS
  end

  service do
    name macos: "org.mlxoss.daemon"
    run [opt_bin/"mlxoss", "serve"]
    keep_alive successful_exit: false
    process_type :interactive
    stop_timeout 30
    environment_variables PATH: std_service_path_env, LANG: "en_US.UTF-8", PYTHONUNBUFFERED: "1"
    log_path var/"log/mlxoss.log"
    error_log_path var/"log/mlxoss.log"
  end

  test do
    assert_match version.to_s, shell_output("#{bin}/mlxoss --version") unless head?
    assert_match "OK", pipe_output("/usr/bin/plutil -lint -", shell_output("#{bin}/mlxoss plist"))
    assert_match "port", shell_output("#{bin}/mlxoss config list")
    system libexec/"bin/python", "-c", "import mlx.core, mlx_lm, openai_harmony, llguidance, sanic"
  end
end
