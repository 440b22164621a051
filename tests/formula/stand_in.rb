# ruby stand_in.rb FORMULA  ->  what homebrew.rb prints, as far as it can be said without Homebrew
#
# A formula is Ruby that calls words of Homebrew's. Here they note what they were given; the
# service becomes a property list as Homebrew's service.rb makes it. Old Ruby will do (macOS has 2.6).
require "json"
require "pathname"

PREFIX = Pathname("/opt/homebrew")
module Language; module Python; module Virtualenv; end; end; end

# What a block may ask for, and what it says.
class Block
  attr_reader :said

  def initialize(&body)
    @said = {}
    instance_eval(&body)
  end

  def opt_bin
    PREFIX/"opt/mlxoss/bin"
  end

  def var
    PREFIX/"var"
  end

  def std_service_path_env
    "#{PREFIX}/bin:#{PREFIX}/sbin:/usr/bin:/bin:/usr/sbin:/sbin"
  end

  def method_missing(word, *given)
    @said[word] = given.length > 1 ? given : given.first
  end

  def respond_to_missing?(*)
    true
  end
end

class Formula
  class << self
    attr_reader :formula

    def inherited(formula)
      super
      @formula = formula
    end

    def said
      @said ||= Hash.new { |said, word| said[word] = [] }
    end

    def service(&body)
      said[:service] = Block.new(&body).said
    end

    # Its body runs after an installation.
    def test
      said[:test] << true
    end

    def method_missing(word, *given)
      said[word] << given
    end

    def respond_to_missing?(*)
      true
    end
  end
end

NAMES = { arm64: "arm64 architecture", sonoma: "macOS >= 14" }.freeze
SESSIONS = %w[Aqua Background LoginWindow StandardIO System].freeze

def render(service)
  {
    "Label"                  => service[:name][:macos],
    "ProgramArguments"       => service[:run].map(&:to_s),
    "RunAtLoad"              => true,
    "KeepAlive"              => { "SuccessfulExit" => service[:keep_alive][:successful_exit] },
    "ProcessType"            => service[:process_type].to_s.capitalize,
    "ExitTimeOut"            => service[:stop_timeout],
    "EnvironmentVariables"   => service[:environment_variables],
    "LimitLoadToSessionType" => SESSIONS,
    "StandardOutPath"        => service[:log_path],
    "StandardErrorPath"      => service[:error_log_path],
  }
end

load ARGV.fetch(0)
said = Formula.formula.said
url, options = said[:url].first
puts JSON.generate(
  version:  said[:version].flatten.first,
  url:      url,
  fetcher:  "#{options[:using].to_s.capitalize}DownloadStrategy",
  network:  said[:allow_network_access!].include?([:build]),
  needs:    said[:depends_on].flatten.map { |one| one.is_a?(Hash) ? NAMES.fetch(one.values.first) : one },
  problems: [],
  plist:    render(said[:service]),
)
