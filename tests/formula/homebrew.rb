# brew ruby homebrew.rb FORMULA  ->  what Homebrew's own code makes of the formula, as JSON
require "formulary"
require "formula_auditor"
require "simulate_system"
require "json"

formula = Formulary.factory(Pathname(ARGV.fetch(0)))
auditor = Homebrew::FormulaAuditor.new(formula, strict: true)
auditor.audit
plist = Homebrew::SimulateSystem.with(os: :macos, arch: :arm) { formula.service.to_plist }
puts JSON.generate(
  version:  formula.version.to_s,
  url:      formula.stable.url,
  fetcher:  formula.stable.downloader.class.name,
  network:  formula.class.network_access_allowed?(:build),
  needs:    formula.deps.map(&:name) + formula.requirements.map(&:display_s),
  problems: auditor.problems.map { |problem| problem[:message] },
  plist:,
)
