// What `mlxoss launch pi` hands to Pi: the provider that is described in a variable.
export default function (pi) {
  pi.registerProvider("mlxoss", JSON.parse(process.env.MLXOSS_PI_PROVIDER));
}
