# The audit role of one account; printed by `orgscan role terraform`.
#
# Terraform deploys to one account at a time. Put this file in a separate directory and use it as a
# module for each account, with the provider of that account:
#
#   module "orgscan_payments" {
#     source         = "./orgscan-audit-role"
#     providers      = { aws = aws.payments }
#     trusted_caller = "arn:aws:iam::123456789012:role/Auditor"
#   }
#
# New accounts need an additional module. To include them automatically, use a StackSet: pass the
# template of `orgscan role cloudformation` to aws_cloudformation_stack_set. The management account
# needs no role if orgscan runs there.

terraform {
  required_providers {
    aws = {
      source = "hashicorp/aws"
    }
  }
}

variable "trusted_caller" {
  description = "ARN of the role or user that runs orgscan, or the ID of its account."
  type        = string

  validation {
    condition     = can(regex("^([0-9]{12}|arn:aws[a-z-]*:iam::[0-9]{12}:(root|(role|user)/[0-9A-Za-z_+=,.@/-]+))$", var.trusted_caller))
    error_message = "Enter an account ID of 12 digits, or the ARN of a role or user."
  }
}

variable "role_name" {
  description = "Name of the role; the same in every account."
  type        = string
  default     = "OrgScanAudit"

  validation {
    condition     = can(regex("^[0-9A-Za-z_+=,.@-]{1,64}$", var.role_name))
    error_message = "Enter 1 to 64 letters, digits or _+=,.@- characters, without a path."
  }
}

variable "role_path" {
  description = "Path of the role; the same in every account."
  type        = string
  default     = "/"
}

variable "external_id" {
  description = "External ID that the caller must provide; empty for none."
  type        = string
  default     = ""

  validation {
    condition     = can(regex("^([0-9A-Za-z_+=,.@:/-]{2,})?$", var.external_id))
    error_message = "Enter at least 2 letters, digits or _+=,.@:/- characters."
  }
}

resource "aws_iam_role" "audit" {
  name        = var.role_name
  path        = var.role_path
  description = "Allows orgscan to read evidence about IAM credentials; changes nothing."

  assume_role_policy = jsonencode({
    Version = "2012-10-17"
    Statement = [
      {
        Effect    = "Allow"
        Principal = { AWS = var.trusted_caller }
        Action    = "sts:AssumeRole"
        Condition = {
          for id in compact([var.external_id]) : "StringEquals" => { "sts:ExternalId" = id }
        }
      },
    ]
  })
}

resource "aws_iam_role_policy" "audit" {
  name = "ReadCredentialEvidence"
  role = aws_iam_role.audit.id

  policy = jsonencode({
    Version = "2012-10-17"
    Statement = [
      {
        Sid    = "ReadCredentialEvidence"
        Effect = "Allow"
        Action = [
          "iam:GenerateCredentialReport",
          "iam:GetAccessKeyLastUsed",
          "iam:GetAccountPasswordPolicy",
          "iam:GetAccountSummary",
          "iam:GetCredentialReport",
          "iam:GetLoginProfile",
          "iam:ListAccessKeys",
          "iam:ListMFADevices",
          "iam:ListSSHPublicKeys",
          "iam:ListServiceSpecificCredentials",
          "iam:ListSigningCertificates",
          "iam:ListUsers",
          "iam:ListVirtualMFADevices",
        ]
        Resource = "*"
      },
    ]
  })
}

output "role_arn" {
  description = "ARN of the audit role."
  value       = aws_iam_role.audit.arn
}
