// An actor class whose canisters Main.mo creates, upgrades and reinstalls.
import Principal "mo:core/Principal";

persistent actor class Child(name : Text) {
  let first = name;
  transient let latest = name;
  public query func names() : async (Text, Text) { (first, latest) };
  public shared ({ caller }) func creator() : async Text { Principal.toText(caller) };
  public func failing() : async () { assert false };
};
